// The lab's page: tabs, requests, the recording that all views are about, playing it.
//
// A view is a module page/<name>.js with `export async function mount(panel, lab)`, called once, when
// its tab is opened for the first time. It talks to the server, to the user and to the other views
// through the object `lab` below, and never directly.

const TABS = ["sound", "emotion", "live", "runs", "corpus"];
const TOKEN = "serfeat-token";

// --- the token: out of the address at once, so that it is in no screenshot and no history ---------

function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address.pathname + address.search + address.hash);
  }
  return sessionStorage.getItem(TOKEN) ?? "";
}

const token = takeToken();
const by = (id) => document.getElementById(id);

// --- requests ------------------------------------------------------------------------------------

export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

function address(path, parameters = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

async function ask(path, { parameters, method = "GET", headers = {}, body, signal } = {}) {
  let response;
  try {
    response = await fetch(address(path, parameters), {
      method, body, signal,
      headers: { "X-Serfeat-Token": token, ...headers },
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("the lab does not answer: is `serfeat lab` still running?", 0);
  }
  if (response.ok) return response;
  let words = `${response.status} ${response.statusText}`;
  try {
    words = (await response.json()).error ?? words;
  } catch { /* no JSON: the status line has to do */ }
  throw new Refusal(words, response.status);
}

const TYPED = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
  uint32: Uint32Array, float32: Float32Array, float64: Float64Array,
};

// A block: a uint32 n, n bytes of JSON, then the arrays (see serfeat/lab/answers.py).
function unpack(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const arrays = {};
  for (const [name, entry] of Object.entries(head.arrays)) {
    const count = entry.shape.reduce((a, b) => a * b, 1);
    arrays[name] = new TYPED[entry.dtype](buffer, 4 + size + entry.offset, count);
    arrays[name].shape = entry.shape;
  }
  return { about: head.about, arrays };
}

// --- elements ------------------------------------------------------------------------------------

// element("button", {class: "x", onclick: f, disabled: true}, "text", child): strings become text,
// so no name of a file is ever read as markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else if (name === "style") throw new Error("no inline style: give it a class");
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return made;
}

// --- playing -------------------------------------------------------------------------------------

const kept = new Map(); // id -> AudioBuffer, the last few
let context = null;
let playing = null;

async function buffer(id) {
  if (!kept.has(id)) {
    const bytes = await (await ask(`/api/sound/${encodeURIComponent(id)}/wav`)).arrayBuffer();
    kept.set(id, await context.decodeAudioData(bytes));
    if (kept.size > 4) kept.delete(kept.keys().next().value);
  }
  return kept.get(id);
}

function stop() {
  playing?.source.stop();
  playing = null;
}

// play(id, start, end): seconds of the recording; returns {position(), stop(), done}. A second call
// ends the first.
async function play(id, start = 0, end = null) {
  context ??= new AudioContext();
  await context.resume();
  const samples = await buffer(id);
  stop();
  const from = Math.max(0, start ?? 0);
  const to = Math.min(end ?? samples.duration, samples.duration);
  const source = new AudioBufferSourceNode(context, { buffer: samples });
  source.connect(context.destination);
  const begun = context.currentTime;
  source.start(0, from, Math.max(0, to - from));
  const done = new Promise((resolve) => source.addEventListener("ended", resolve, { once: true }));
  const here = { source, done, stop: () => { if (playing === here) stop(); },
    position: () => Math.min(to, from + context.currentTime - begun) };
  playing = here;
  done.then(() => { if (playing === here) playing = null; });
  return here;
}

// --- what every view gets ------------------------------------------------------------------------

export const lab = {
  events: new EventTarget(), // "sound": another recording was chosen; "theme": colours changed
  sound: null, // {id, name, duration} or null
  about: null, // {version, corpora, models, runs, upload_limit}
  element,
  Refusal,
  get: async (path, parameters, signal) => (await ask(path, { parameters, signal })).json(),
  post: async (path, body, headers) => {
    const raw = body instanceof Blob || body instanceof ArrayBuffer;
    return (await ask(path, {
      method: "POST",
      body: raw ? body : JSON.stringify(body ?? {}),
      headers: { "Content-Type": raw ? "application/octet-stream" : "application/json", ...headers },
    })).json();
  },
  bytes: async (path, parameters, signal) => (await ask(path, { parameters, signal })).arrayBuffer(),
  block: async (path, parameters, signal) =>
    unpack(await (await ask(path, { parameters, signal })).arrayBuffer()),
  unpack,
  socket(path) {
    const url = new URL(path, location.origin.replace(/^http/, "ws"));
    const opened = new WebSocket(url);
    opened.binaryType = "arraybuffer";
    opened.addEventListener("open", () => opened.send(JSON.stringify({ token })), { once: true });
    return opened;
  },
  say(text) {
    by("status").textContent = text;
  },
  fail(error) {
    if (error?.name === "AbortError") return;
    const line = by("failure");
    line.hidden = false;
    line.textContent = error?.message ?? String(error);
  },
  clear() {
    by("failure").hidden = true;
  },
  choose(sound) {
    lab.sound = sound;
    lab.clear();
    by("now").textContent = sound ? sound.name : "";
    lab.events.dispatchEvent(new CustomEvent("sound", { detail: sound }));
  },
  play: (id, start, end) => play(id, start, end),
  stop,
  open: (name) => openTab(name, true),
  // Whole-page downloads: lab.save("f0.csv", blob)
  save(name, blob) {
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  },
};

// --- tabs ----------------------------------------------------------------------------------------

const mounted = new Map();

async function openTab(name, focus = false) {
  if (!TABS.includes(name)) name = TABS[0];
  for (const other of TABS) {
    const tab = by(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    by(`panel-${other}`).hidden = other !== name;
  }
  if (focus) by(`tab-${name}`).focus();
  if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
  document.title = `${by(`tab-${name}`).textContent} · serfeat lab`;
  if (!mounted.has(name)) {
    mounted.set(name, (async () => {
      const view = await import(`./${name}.js`);
      await view.mount(by(`panel-${name}`), lab);
    })());
    try {
      await mounted.get(name);
    } catch (error) {
      mounted.delete(name);
      lab.fail(error);
    }
  }
  lab.events.dispatchEvent(new CustomEvent("tab", { detail: name }));
}

function arrows(event) {
  const here = TABS.findIndex((t) => by(`tab-${t}`) === event.currentTarget);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const to = event.key === "Home" ? 0 : event.key === "End" ? TABS.length - 1
    : step ? (here + step + TABS.length) % TABS.length : null;
  if (to === null) return;
  event.preventDefault();
  openTab(TABS[to], true);
}

async function begin() {
  for (const name of TABS) {
    by(`tab-${name}`).addEventListener("click", () => openTab(name));
    by(`tab-${name}`).addEventListener("keydown", arrows);
  }
  addEventListener("hashchange", () => openTab(location.hash.slice(1)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    lab.events.dispatchEvent(new Event("theme")));
  // A file that is dropped beside the drop zone must not replace the page.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (e) => e.preventDefault());
  try {
    lab.about = await lab.get("/api/about");
  } catch (error) {
    lab.fail(error);
    return;
  }
  await openTab(location.hash.slice(1) || TABS[0]);
}

begin();
