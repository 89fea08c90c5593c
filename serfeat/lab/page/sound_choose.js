// Where a recording comes from: a file, the microphone, a corpus.

import { record } from "./sound_record.js";

const wellFormed = (name) => name.toWellFormed?.() ?? name.replace(/[\ud800-\udfff]/g, "\ufffd");

async function upload(lab, blob, name) {
  if (blob.size > lab.about.upload_limit) {
    throw new Error(`${name}: larger than ${lab.about.upload_limit / 1e6} MB; cut it into parts, or `
      + "open its folder with `serfeat lab FOLDER`");
  }
  if (!blob.size) throw new Error(`${name}: the file is empty`);
  lab.clear();
  lab.say(`reading ${name} ...`);
  performance.mark("upload");
  const headers = { "X-Serfeat-Name": encodeURIComponent(wellFormed(name)) };
  const sound = await lab.post("/api/sound/upload", blob, headers);
  const odd = sound.flags.length ? `; ${sound.flags.join("; ")}` : "";
  lab.say(`${sound.name}: ${sound.duration.toFixed(2)} s at ${sound.original_sr} Hz${odd}`);
  lab.choose(sound);
}

function files(lab) {
  const { element } = lab;
  const take = async (list) => {
    try {
      for (const file of list) await upload(lab, file, file.name);
    } catch (error) {
      lab.say("");
      lab.fail(error);
    }
  };
  const input = element("input", { type: "file", id: "sound-file", class: "aside", multiple: true,
    accept: "audio/*,.flac,.sph,.nist,.au,.aiff,.caf,.w64",
    onchange: async () => { await take([...input.files]); input.value = ""; } });
  const zone = element("label", { for: "sound-file", class: "drop" },
    element("strong", {}, "Open a file"), " or drop one here",
    element("small", {}, "WAV, FLAC, MP3, M4A, Ogg ...; it stays on this computer"));
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, () => zone.classList.add("over"));
  }
  for (const kind of ["dragleave", "drop"]) {
    addEventListener(kind, () => zone.classList.remove("over"));
  }
  addEventListener("drop", (event) => {
    if (event.dataTransfer?.files.length) take([...event.dataTransfer.files]);
  });
  return element("div", {}, input, zone);
}

function microphone(lab) {
  const { element } = lab;
  let running = null;
  const meter = element("meter", { min: -60, max: 0, low: -45, high: -6, optimum: -20, value: -60,
    "aria-label": "level", hidden: true });
  const label = element("span", { class: "number" });
  const finish = async () => {
    if (!running) return;
    const here = running;
    running = null;
    button.textContent = "● Record";
    button.setAttribute("aria-pressed", "false");
    meter.hidden = true;
    label.textContent = "";
    try {
      const time = new Date().toTimeString().slice(0, 8);
      await upload(lab, await here.stop(), `recording ${time}.wav`);
    } catch (error) {
      lab.fail(error);
    }
  };
  const begin = async () => {
    button.disabled = true;
    lab.clear();
    try {
      running = await record((rms, seconds) => {
        meter.value = 20 * Math.log10(Math.max(rms, 1e-3));
        label.textContent = `${seconds.toFixed(1)} s`;
      }, finish);
      button.textContent = "■ Stop";
      button.setAttribute("aria-pressed", "true");
      meter.hidden = false;
      lab.say("recording ...");
    } catch (error) {
      lab.fail(error);
    }
    button.disabled = false;
  };
  const button = element("button", { id: "sound-record", "aria-pressed": "false",
    onclick: () => (running ? finish() : begin()) }, "● Record");
  return element("div", { class: "row" }, button, label, meter);
}

function corpus(lab, corpora) {
  const { element } = lab;
  const names = Object.keys(corpora);
  if (!names.length) {
    return element("p", { class: "quiet" }, "No corpus is open: ", element("code", {},
      "serfeat lab --corpus emodb"), " or ", element("code", {}, "serfeat lab FOLDER"),
    " lists its recordings here.");
  }
  const state = { offset: 0 };
  const choice = (label, id, options, changed) => {
    const select = element("select", { id, onchange: changed, "aria-label": label }, ...options);
    return select;
  };
  const option = (value, text) => element("option", { value }, text);
  const which = choice("corpus", "sound-corpus", names.map((n) => option(n, `${n} (${corpora[n].rows})`)),
    () => { facets(); again(); });
  const who = choice("speaker", "sound-speaker", [], () => again());
  const what = choice("emotion", "sound-emotion", [], () => again());
  const query = element("input", { type: "search", placeholder: "part of a name", id: "sound-query",
    "aria-label": "part of a name", oninput: () => { clearTimeout(state.timer); state.timer = setTimeout(again, 200); } });
  const list = element("ul", { class: "sounds", "aria-label": "recordings" });
  const more = element("button", { class: "plain", onclick: () => load(false) }, "more ...");

  function facets() {
    for (const [select, kind, any] of [[who, "speaker", "speaker"], [what, "emotion", "emotion"]]) {
      const values = Object.entries(corpora[which.value][kind] ?? {});
      select.replaceChildren(option("", any), ...values.map(([v, n]) => option(v, `${v} (${n})`)));
      select.hidden = !values.length;
    }
  }

  const choose = async (sound, item) => {
    try {
      lab.choose(await lab.get(`/api/sound/${sound.id}`));
      list.querySelector("[aria-current]")?.removeAttribute("aria-current");
      item.setAttribute("aria-current", "true");
      lab.say(`${sound.name} ${sound.speaker} ${sound.emotion}`);
    } catch (error) {
      lab.fail(error);
    }
  };

  async function load(fresh) {
    if (fresh) state.offset = 0;
    const asked = (state.asked = {});
    try {
      const found = await lab.get("/api/sound/list", { corpus: which.value, speaker: who.value,
        emotion: what.value, q: query.value, offset: state.offset });
      if (asked !== state.asked) return;
      const items = found.sounds.map((sound) => {
        const short = sound.name.split("/").at(-1);
        const item = element("button", { class: "plain", title: sound.name,
          onclick: () => choose(sound, item) },
        element("span", {}, short), element("small", {}, `${sound.speaker} ${sound.emotion}`));
        return element("li", {}, item);
      });
      if (fresh) list.replaceChildren(...items);
      else list.append(...items);
      state.offset += found.sounds.length;
      more.hidden = state.offset >= found.total;
    } catch (error) {
      lab.fail(error);
    }
  }
  const again = () => load(true);
  facets();
  again();
  return element("div", { class: "corpus" },
    element("div", { class: "filters" }, which, who, what, query), list, more);
}

export function chooser(lab, corpora) {
  return lab.element("section", { class: "choose card", "aria-label": "Choose a recording" },
    files(lab), microphone(lab), corpus(lab, corpora));
}
