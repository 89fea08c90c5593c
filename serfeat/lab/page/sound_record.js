// The microphone, without what telephones do to a voice, as a 16-bit WAV.

const LONGEST = 600; // s

// 16-bit PCM WAV of blocks of mono samples in [-1, 1].
export function wav(blocks, sr) {
  const count = blocks.reduce((n, b) => n + b.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * count));
  const words = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  words(0, "RIFF");
  view.setUint32(4, 36 + 2 * count, true);
  words(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, sr, true);
  view.setUint32(28, 2 * sr, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  words(36, "data");
  view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) {
    for (const v of block) {
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, v)) * 32767), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

// Begin to record; level(rms, seconds) is called some times a second.
// Returns {stop() -> Promise<Blob>, cancel()}.
export async function record(level, full) {
  if (!navigator.mediaDevices) throw new Error("this browser gives no microphone to this address");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false,
        autoGainControl: false },
    });
  } catch (error) {
    throw new Error({
      NotAllowedError: "the browser was not allowed to use the microphone",
      NotFoundError: "there is no microphone",
    }[error.name] ?? `the microphone cannot be used (${error.name})`);
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule("page/recorder.js");
  const source = context.createMediaStreamSource(stream);
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const blocks = [];
  let count = 0;
  let power = 0;
  let since = 0;
  recorder.port.onmessage = ({ data }) => {
    blocks.push(data);
    count += data.length;
    since += data.length;
    for (const v of data) power += v * v;
    if (since > context.sampleRate / 12) {
      level(Math.sqrt(power / since), count / context.sampleRate);
      power = since = 0;
    }
    if (count > LONGEST * context.sampleRate) full();
  };
  source.connect(recorder);
  const end = async () => {
    recorder.port.onmessage = null;
    source.disconnect();
    for (const track of stream.getTracks()) track.stop();
    await context.close();
  };
  return {
    cancel: end,
    async stop() {
      const sr = context.sampleRate;
      await end();
      if (!count) throw new Error("the microphone gave no sound");
      return wav(blocks, sr);
    },
  };
}
