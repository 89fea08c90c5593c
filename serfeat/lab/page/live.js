// The Live view: the microphone, its level, F0, energy and spectrum, and what a model says of it.
//
// An AudioWorklet (recorder.js) hands blocks of 128 samples to the page, which sends 20 ms at a time
// over a WebSocket. What the server answers goes into rings of the last SPAN seconds; the canvases
// are drawn once per frame of the screen.

import { COLOURS, legend, styles } from "./parts.js";
import { plot } from "./plot.js";

const SPAN = 10; // s on the screen
const BATCH = 0.02; // s of sound in a message
const BACKLOG = 0.5; // s of sound that the socket may hold back before the page drops

export async function mount(panel, lab) {
  styles();
  const { element } = lab;
  const parts = build(element);
  panel.append(parts.whole);
  let models = [];
  try {
    models = await lab.get("/api/live/models");
  } catch (error) {
    lab.fail(error);
  }
  parts.model.append(element("option", { value: "" }, "none: curves alone"),
    ...models.map((m) => element("option", { value: m.id }, m.name)));
  if (models.length) parts.model.value = models[0].id;
  let stream = null;

  async function start() {
    parts.start.disabled = true;
    lab.clear();
    lab.say("asking for the microphone");
    try {
      stream = await open(lab, parts, () => { end("the stream ended"); });
      parts.stop.disabled = false;
      parts.model.disabled = true;
      parts.stop.focus();
      lab.say("listening");
    } catch (error) {
      parts.start.disabled = false;
      lab.say("");
      lab.fail(error.name === "NotAllowedError"
        ? new Error("the browser did not allow the microphone") : error);
    }
  }

  function end(words) {
    stream?.close();
    stream = null;
    parts.start.disabled = false;
    parts.stop.disabled = true;
    parts.model.disabled = false;
    lab.say(words);
  }

  parts.start.addEventListener("click", start);
  parts.stop.addEventListener("click", () => { end("stopped"); parts.start.focus(); });
  lab.events.addEventListener("tab", ({ detail }) => {
    if (detail !== "live" && stream) end("stopped: another view is open");
  });
  draw(parts, empty());
}

// --- what is on the page ---------------------------------------------------------------------------

function build(element) {
  const canvas = (label, kind) => element("canvas", { role: "img", "aria-label": label, class: kind });
  const parts = {
    start: element("button", { class: "main", id: "live-start" }, "Start"),
    stop: element("button", { id: "live-stop", disabled: true }, "Stop"),
    model: element("select", { id: "live-model" }),
    meter: element("meter", { id: "live-level", min: "-70", max: "0", low: "-50", high: "-6",
      optimum: "-20", value: "-70" }),
    loud: element("span", { class: "number" }, "–"),
    said: element("output", { id: "live-said" }, "–"),
    facts: element("p", { class: "quiet number", id: "live-facts" }, ""),
    warning: element("p", { class: "fail", hidden: true }, ""),
    values: element("ul", { class: "legend", id: "live-values" }),
    picture: canvas("spectrum over the last ten seconds", "strip-picture"),
    f0: canvas("F0 over the last ten seconds", "strip-cepstrum"),
    energy: canvas("level over the last ten seconds", "strip-curve"),
    chances: canvas("probabilities over the last ten seconds", "strip-cepstrum"),
  };
  parts.chancesCard = element("div", { class: "card across", hidden: true },
    element("h3", {}, "Probabilities, smoothed"), parts.values, parts.chances);
  parts.whole = element("div", { class: "view" }, element("div", { class: "columns" },
    element("div", { class: "card" },
      element("h2", {}, "Listen"),
      element("p", {}, element("label", { for: "live-model" }, "Model "), parts.model),
      element("p", { class: "row" }, parts.start, parts.stop),
      element("p", {}, element("label", { for: "live-level" }, "Level "), parts.meter, " ", parts.loud),
      element("p", {}, "Now: ", parts.said),
      parts.facts, parts.warning,
      element("p", { class: "quiet" }, "The sound goes to serfeat on this computer, is not kept, and",
        " goes nowhere else.")),
    element("div", { class: "card" }, element("h3", {}, "Spectrum (mel bands), dB"), parts.picture),
    element("div", { class: "card" },
      element("h3", {}, "F0, Hz (autocorrelation, decided 50 ms late)"), parts.f0,
      element("h3", {}, "RMS level, dB re full scale"), parts.energy),
    parts.chancesCard));
  return parts;
}

// --- the stream ------------------------------------------------------------------------------------

const empty = () => ({ now: 0, times: [], f0: [], rms: [], spectra: [], moments: [], names: [], bands: 1,
  dirty: true });

async function open(lab, parts, ended) {
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const context = new AudioContext();
  let open = true;
  let socket = null;
  const close = () => {
    if (!open) return;
    open = false;
    for (const track of microphone.getTracks()) track.stop();
    context.close();
    socket?.close();
  };
  try {
    await context.resume();
    await context.audioWorklet.addModule("page/recorder.js");
    lab.say(parts.model.value ? `preparing ${parts.model.selectedOptions[0].textContent}: some seconds the first time`
      : "preparing");
    socket = lab.socket("/api/live");
    const about = await greeted(socket, context.sampleRate, parts.model.value);
    const seen = { ...empty(), names: about.names, bands: about.bands };
    let unsent = 0;
    listen(context, microphone, socket, () => { unsent += 1; });
    socket.addEventListener("message", ({ data }) => {
      const found = JSON.parse(data);
      if (found.error) lab.fail(new Error(found.error));
      else take(seen, found, parts, about, unsent);
    });
    socket.addEventListener("close", () => { if (open) { close(); ended(); } });
    parts.chancesCard.hidden = !about.names.length;
    parts.values.replaceChildren(...legend(lab, about.names).children);
    parts.warning.hidden = !about.synthetic;
    parts.warning.textContent = about.synthetic
      ? "The model was trained on synthetic speech: this says nothing about people." : "";
    const step = () => {
      if (!open) return;
      if (seen.dirty) draw(parts, seen);
      seen.dirty = false;
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
    return { close };
  } catch (error) {
    close();
    throw error;
  }
}

// Send the settings once the socket is open (lab.js has sent the token) and wait for "ready".
function greeted(socket, sr, model) {
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", () => socket.send(JSON.stringify({ sr, model })));
    socket.addEventListener("close", () => reject(new Error("the lab closed the stream")));
    socket.addEventListener("message", function first({ data }) {
      socket.removeEventListener("message", first);
      const found = JSON.parse(data);
      if (found.ready) resolve(found.ready);
      else reject(new Error(found.error ?? "the lab did not answer"));
    });
  });
}

function listen(context, microphone, socket, dropped) {
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const batch = new Float32Array(Math.round(BATCH * context.sampleRate));
  let filled = 0;
  recorder.port.onmessage = ({ data }) => {
    for (let i = 0; i < data.length;) {
      const n = Math.min(data.length - i, batch.length - filled);
      batch.set(data.subarray(i, i + n), filled);
      filled += n;
      i += n;
      if (filled < batch.length) continue;
      filled = 0;
      if (socket.readyState !== WebSocket.OPEN) continue;
      if (socket.bufferedAmount > 4 * BACKLOG * context.sampleRate) dropped();
      else socket.send(batch.slice());
    }
  };
  context.createMediaStreamSource(microphone).connect(recorder);
}

// --- what came -------------------------------------------------------------------------------------

function take(seen, found, parts, about, unsent) {
  const number = (v) => (v === null ? NaN : v);
  seen.times.push(...found.times);
  seen.f0.push(...found.columns.f0_hz.map(number));
  seen.rms.push(...found.columns.rms_db.map(number));
  seen.spectra.push(...found.spectrum);
  seen.moments.push(...found.moments);
  seen.now = seen.times.at(-1) ?? seen.now;
  while (seen.times.length && seen.times[0] < seen.now - SPAN) {
    for (const list of [seen.times, seen.f0, seen.rms]) list.shift();
  }
  while (seen.spectra.length > SPAN * 50) seen.spectra.shift();
  while (seen.moments.length && seen.moments[0].time < seen.now - SPAN) seen.moments.shift();
  seen.dirty = true;
  parts.meter.value = Math.max(-70, found.level);
  parts.meter.textContent = `${found.level.toFixed(0)} dB`;
  parts.loud.textContent = `${found.level.toFixed(0)} dB${found.peak >= 0.99 ? " · clipped" : ""}`;
  const p95 = found.latency_ms.p95;
  parts.facts.textContent = `computed within ${p95 === undefined ? "–" : p95.toFixed(1)} ms (95 %) · `
    + `frames wait ${about.delay_ms.toFixed(0)} ms for their window · `
    + `${found.dropped + unsent} dropped · ${seen.now.toFixed(1)} s`;
  const last = found.moments.at(-1);
  if (!last) return;
  parts.said.textContent = last.label === "unknown" ? `unknown (${last.reason})` : last.label || "–";
  for (const [i, name] of seen.names.entries()) {
    const value = last.values[name];
    parts.values.children[i].lastChild.textContent = `${name} ${value === undefined ? "–" : value.toFixed(2)}`;
  }
}

function draw(parts, seen) {
  const x = { label: "s", range: [Math.max(0, seen.now - SPAN), Math.max(SPAN, seen.now)] };
  const flat = new Float32Array(seen.spectra.length * seen.bands);
  seen.spectra.forEach((column, i) => flat.set(column, i * seen.bands));
  const until = seen.now;
  plot(parts.picture, { x, y: { range: [0, seen.bands], ticks: false, label: "8 kHz, mel" },
    layers: seen.spectra.length ? [{ kind: "image", values: flat, rows: seen.bands,
      columns: seen.spectra.length, x: [until - seen.spectra.length / 50, until],
      y: [0, seen.bands], low: -50, high: 20, ramp: "ink" }] : [] });
  plot(parts.f0, { x, y: { label: "Hz", range: [60, 420] },
    layers: [{ kind: "line", x: seen.times, y: seen.f0, color: "--c2" }] });
  plot(parts.energy, { x, y: { label: "dB", range: [-80, 0] },
    layers: [{ kind: "line", x: seen.times, y: seen.rms, color: "--c1" }] });
  if (parts.chancesCard.hidden) return;
  plot(parts.chances, { x, y: { label: "probability", range: [0, 1] },
    layers: seen.names.flatMap((name, i) => {
      const y = seen.moments.map((m) => m.values[name] ?? NaN);
      const color = COLOURS[i % COLOURS.length];
      return [{ kind: "line", x: seen.moments.map((m) => m.time), y, color, width: 2 }];
    }) });
}
