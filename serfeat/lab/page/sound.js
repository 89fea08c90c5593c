// The Sound view: hear it, see it, turn its knobs.
//
// `view` holds what is looked at. Whatever changes it says what has to be fetched again; a request
// that is under way is not repeated but followed by one for the latest state, so that the picture
// keeps up with a slider and no queue builds up behind it.

import { chooser } from "./sound_choose.js";
import { slice, sliders, vowels } from "./sound_side.js";
import { colourOf, column, LEFT, named, shapeOf, stack } from "./sound_stack.js";

const SHORTEST = 0.005; // s that fill the screen at most
const RIGHT = 8;

export async function mount(panel, lab) {
  const { element } = lab;
  const about = await lab.get("/api/sound/about");
  const view = {
    about, sound: null, start: 0, end: 1, selection: null, cursor: null, playhead: null,
    settings: Object.fromEntries(Object.entries(about.sliders).map(([n, s]) => [n, s.default])),
    shown: Object.fromEntries(Object.keys(about.curves).map((n) => [n, ["serfeat"]])),
    curves: new Map(), shape: null, overview: null, picture: null, slice: null,
    high: 5500, contrast: 60,
  };
  const pictures = stack(lab, view);
  view.pixels = () => pictures.plots.clientWidth || 800;
  const chart = vowels(lab, view);
  const spectrum = slice(lab, view);
  const fetching = fetcher(lab, view, drawn);
  const readout = element("p", { class: "readout number", id: "sound-readout" });
  const player = playing(lab, view, pictures);
  const bar = toolbar(lab, view, { player, zoom, all, redraw, save: saver(lab, view, pictures) });
  const side = element("div", { class: "side" },
    sliders(lab, view, (moved) => fetching.settings(moved)), spectrum.node, chart.node);
  const work = element("div", { class: "work", hidden: true }, bar, readout, pictures.node);
  const hint = element("div", { class: "hint" },
    element("h2", {}, "See what a voice is made of"),
    element("p", {}, "Open a file, record yourself, or pick a recording of a corpus. You will see its "
      + "waveform, its spectrogram and its curves on one time axis, and can turn every knob of the analysis."));
  panel.append(element("div", { class: "sound" }, chooser(lab, about.corpora),
    element("div", { class: "middle" }, hint, work), side));
  side.hidden = true;
  chips(lab, view, pictures, fetching);

  // What came in since the last frame of the screen is drawn at once, each strip a single time.
  const came = new Set();
  function drawn(name) {
    if (!came.size) requestAnimationFrame(drawCame);
    came.add(name);
  }
  function drawCame() {
    const strips = { voicing: "waveform", shape: "waveform", picture: "spectrogram", formants: "spectrogram" };
    const curves = new Set([...came].map((name) => name.split("/")[0]));
    pictures.draw(new Set([...curves].map((name) => strips[name] ?? name)));
    if (curves.has("formants")) chart.draw();
    if (curves.has("formants") || curves.has("slice")) spectrum.draw();
    tell();
    for (const name of came) performance.mark(`drawn:${name}`);
    came.clear();
  }

  function redraw() {
    pictures.draw();
    chart.draw();
    spectrum.draw();
  }

  function look(start, end) {
    const whole = view.sound.duration;
    const width = Math.min(Math.max(end - start, SHORTEST), whole);
    view.start = Math.min(Math.max(0, start), whole - width);
    view.end = view.start + width;
    pictures.draw();
    fetching.looked();
  }
  function zoom(factor, around = view.cursor ?? (view.start + view.end) / 2) {
    look(around - (around - view.start) * factor, around + (view.end - around) * factor);
  }
  function all(selected = false) {
    if (selected && view.selection) look(...view.selection);
    else look(0, view.sound.duration);
  }
  function point(t) {
    view.cursor = t;
    pictures.mark();
    fetching.slice();
    tell();
  }
  function select(range) {
    view.selection = range;
    pictures.mark();
    chart.draw();
    tell();
  }
  function tell() {
    readout.textContent = readWords(view);
  }

  pointer(view, pictures, { look, zoom, point, select });
  keyboard(view, pictures.plots, { look, zoom, all, point, select, player });
  new ResizeObserver(() => view.sound && (redraw(), fetching.looked())).observe(pictures.plots);
  lab.events.addEventListener("theme", redraw);
  lab.events.addEventListener("tab", () => { if (!panel.hidden) redraw(); });

  async function begin(sound) {
    player.stop();
    if (!sound) return;
    let known = sound;
    try {
      if (!(known.duration > 0)) known = await lab.get(`/api/sound/${sound.id}`);
    } catch (error) {
      lab.fail(error);
      return;
    }
    Object.assign(view, { sound: known, start: 0, end: Math.min(known.duration, about.longest / 2),
      selection: null, cursor: known.duration > about.longest ? 0.5 : known.duration / 2, playhead: null,
      shape: null, overview: null, picture: null, slice: null });
    if (known.duration <= about.whole) view.end = known.duration;
    view.curves.clear();
    work.hidden = side.hidden = false;
    hint.hidden = true;
    bar.querySelector("[data-title]").textContent = known.name;
    redraw();
    fetching.everything();
  }
  lab.events.addEventListener("sound", (event) => begin(event.detail));
  if (lab.sound) await begin(lab.sound);
}

// --- fetching ------------------------------------------------------------------------------------

function fetcher(lab, view, drawn) {
  const under = new Map(); // key -> "busy" or "again"
  let timer = 0;

  async function latest(key, get, keep) {
    if (under.has(key)) {
      under.set(key, "again");
      return;
    }
    do {
      under.set(key, "busy");
      const sound = view.sound;
      try {
        const got = await get(sound);
        if (sound === view.sound) {
          keep(got);
          if (!key.startsWith("curves/")) drawn(key);
        }
      } catch (error) {
        if (sound === view.sound) lab.fail(error);
        break;
      }
    } while (under.get(key) === "again");
    under.delete(key);
  }

  const path = (sound, what) => `/api/sound/${encodeURIComponent(sound.id)}/${what}`;
  const span = () => ({ start: view.start, end: view.end });
  const width = () => Math.max(200, Math.round((view.pixels() - LEFT - RIGHT) * Math.min(2, window.devicePixelRatio || 1)));
  const picture = () => latest("picture", (sound) => lab.block(path(sound, "spectrogram"),
    { ...span(), width: Math.min(width(), 1400), window: view.settings.window }),
  (got) => { view.picture = got; });
  const shape = () => latest("shape", (sound) => lab.block(path(sound, "waveform"), { ...span(), width: width() }),
    (got) => { view.shape = shapeOf(got); });
  const overview = () => latest("overview", (sound) => lab.block(path(sound, "waveform"), { width: width() }),
    (got) => { view.overview = shapeOf(got); });
  const slice = () => latest("slice", (sound) => lab.block(path(sound, "slice"),
    { time: view.cursor ?? 0, window: view.settings.window, order: view.settings.order, top: view.settings.top }),
  (got) => { view.slice = got; });

  // All curves of one source in one request; what is asked for meanwhile goes into the next.
  const asked = new Map(); // source -> names
  function curve(name, source) {
    if (tooWide()) {
      view.curves.delete(`${name}/${source}`);
      drawn(`${name}/${source}`);
      return;
    }
    if (!asked.has(source)) asked.set(source, new Set());
    asked.get(source).add(name);
    queueMicrotask(() => curvesOf(source));
  }

  function curvesOf(source) {
    const names = [...(asked.get(source) ?? [])];
    if (!names.length) return;
    latest(`curves/${source}`, async (sound) => {
      const wanted = [...asked.get(source)];
      asked.get(source).clear();
      if (!wanted.length) return null;
      return lab.block(path(sound, "curves"), { names: wanted.join(","), source, ...span(), ...view.settings });
    }, (got) => {
      if (!got) return;
      const problems = Object.entries(got.about.problems);
      for (const name of [...Object.keys(got.arrays), ...problems.map(([n]) => n)]) {
        view.curves.set(`${name}/${source}`, got);
      }
      if (problems.length) lab.fail(new Error(problems[0][1]));
      else lab.clear();
      for (const name of Object.keys(got.arrays)) drawn(`${name}/${source}`);
    });
  }

  const tooWide = () => view.sound.duration > view.about.whole && view.end - view.start > view.about.longest;
  const curves = (wanted = () => true) => {
    for (const [name, sources] of Object.entries(view.shown)) {
      for (const source of sources) if (wanted(name, source)) curve(name, source);
    }
    if (wanted("voicing", "serfeat")) curve("voicing", "serfeat");
  };

  return {
    curve,
    slice,
    everything() {
      shape();
      picture();
      overview();
      curves();
      slice();
    },
    // another stretch is looked at: a recording that was analysed whole has its curves already
    looked() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        shape();
        picture();
        if (view.sound.duration > view.about.whole) {
          if (tooWide()) lab.say(`curves are drawn for ${view.about.longest} s at most: zoom in to see them`);
          curves();
        }
      }, 40);
    },
    // only what the sliders touch
    settings(moved) {
      const touched = (name, source) => {
        if (moved.includes("hop")) return true;
        if (source !== "serfeat") return false;
        const sliders = name === "voicing" ? ["window", "floor", "ceiling"] : view.about.curves[name].sliders;
        return sliders.some((s) => moved.includes(s));
      };
      if (!view.sound) return;
      curves(touched);
      if (moved.includes("window")) picture();
      if (moved.some((m) => ["window", "order", "top"].includes(m))) slice();
    },
  };
}

// --- who computes a curve ------------------------------------------------------------------------

function chips(lab, view, pictures, fetching) {
  const { element } = lab;
  for (const at of pictures.strips) {
    const name = at.name === "spectrogram" ? "formants" : at.name;
    const curve = view.about.curves[name];
    if (!curve) {
      if (name === "waveform") {
        at.words.append("voiced ", element("i", { class: "key voiced" }), " unvoiced ",
          element("i", { class: "key unvoiced" }), " silent ", element("i", { class: "key silence" }),
          " by level and periodicity (Boersma 1993)");
      }
      continue;
    }
    const tell = () => {
      at.words.replaceChildren(...curve.sources.filter((s) => view.shown[name].includes(s.source)).map((s) =>
        element("span", { class: "from" }, `${named(s.source)}: ${s.units[0] === "1" ? "" : `${s.units[0]}, `}${s.words}`)));
      at.words.title = at.words.textContent;
    };
    for (const source of curve.sources) {
      const chip = element("button", {
        class: "chip", "aria-pressed": String(view.shown[name].includes(source.source)),
        disabled: Boolean(source.missing), "data-source": source.source,
        title: source.missing || `${source.summary}. ${source.words}. Undefined: ${source.undefined}. `
          + `${source.settings === "fixed" ? "Fixed settings." : "Follows the sliders."} Licence: ${source.licence}`,
        onclick: () => {
          const shown = view.shown[name];
          const place = shown.indexOf(source.source);
          if (place >= 0) shown.splice(place, 1);
          else shown.push(source.source);
          chip.setAttribute("aria-pressed", String(place < 0));
          tell();
          pictures.draw();
          if (place < 0 && view.sound) fetching.curve(name, source.source);
        },
      }, element("i", { class: "dot" }), named(source.source));
      chip.style.setProperty("--dot", `var(${colourOf(source.source, curve)})`);
      at.tools.append(chip);
    }
    tell();
  }
}

// --- what is under the cursor --------------------------------------------------------------------

function readWords(view) {
  const words = [];
  if (view.selection) {
    const [a, b] = view.selection;
    words.push(`selected ${a.toFixed(3)} to ${b.toFixed(3)} s (${(1000 * (b - a)).toFixed(0)} ms)`);
  }
  if (view.cursor === null) return words.join(" · ");
  words.push(`${view.cursor.toFixed(3)} s`);
  for (const name of ["f0", "energy", "zcr", "hnr", "teo", "formants"]) {
    const entry = view.curves.get(`${name}/serfeat`);
    if (!entry?.arrays[name] || !view.shown[name].includes("serfeat")) continue;
    const i = Math.round((view.cursor - entry.about.start) / entry.about.step);
    const { title, sources } = view.about.curves[name];
    const unit = sources[0].units[0];
    if (name === "formants") {
      const three = [0, 1, 2].map((k) => column(entry, name, k)[i]).filter(Number.isFinite);
      if (three.length) words.push(`F1-F${three.length} ${three.map((f) => Math.round(f)).join(", ")} Hz`);
    } else {
      const value = column(entry, name, 0)[i];
      words.push(`${title} ${Number.isFinite(value) ? `${value.toFixed(Math.abs(value) < 100 ? 1 : 0)} ${unit}` : "undefined"}`);
    }
  }
  return words.join(" · ");
}

// --- the tools above the stack -------------------------------------------------------------------

function toolbar(lab, view, { player, zoom, all, redraw, save }) {
  const { element } = lab;
  const button = (id, text, label, onclick) => element("button", { id, title: label, "aria-label": label, onclick }, text);
  const high = element("select", { id: "sound-high", "aria-label": "highest frequency shown",
    onchange: () => { view.high = Number(high.value); redraw(); } },
  ...[4000, 5500, 8000].map((f) => element("option", { value: f }, `0 to ${f / 1000} kHz`)));
  high.value = String(view.high);
  const contrast = element("input", { type: "range", id: "sound-contrast", min: 30, max: 90, step: 5,
    value: view.contrast, class: "short", "aria-label": "range of levels shown, dB",
    oninput: () => { view.contrast = Number(contrast.value); redraw(); } });
  return element("div", { class: "toolbar row" },
    element("strong", { "data-title": true, class: "title" }),
    element("span", { class: "row" },
      button("sound-play", "▶ Play", "Play the selection, or what is shown (space)", () => player.toggle()),
      button("sound-in", "+", "Zoom in (+)", () => zoom(0.5)),
      button("sound-out", "−", "Zoom out (-)", () => zoom(2)),
      button("sound-fit", "Selection", "Show the selection (s)", () => all(true)),
      button("sound-all", "All", "Show the whole recording (0)", () => all())),
    element("span", { class: "row" }, high,
      element("label", { class: "row", for: "sound-contrast" }, element("small", {}, "dB shown"), contrast)),
    element("span", { class: "row" },
      button("sound-csv", "CSV", "Download the curves that are shown", () => save.csv()),
      button("sound-png", "PNG", "Download the pictures", () => save.png())));
}

function playing(lab, view, pictures) {
  let now = null;
  const show = () => {
    if (!now) return;
    view.playhead = now.position();
    pictures.mark();
    requestAnimationFrame(show);
  };
  const stop = () => {
    now?.stop();
    now = null;
    view.playhead = null;
    if (view.sound) pictures.mark();
    const button = document.getElementById("sound-play");
    if (button) button.textContent = "▶ Play";
  };
  return {
    stop,
    async toggle() {
      if (now) return stop();
      const [from, to] = view.selection ?? [view.start, view.end];
      try {
        const here = await lab.play(view.sound.id, from, to);
        now = here;
        document.getElementById("sound-play").textContent = "■ Stop";
        show();
        await here.done;
        if (now === here) stop();
      } catch (error) {
        lab.fail(error);
      }
    },
  };
}

// --- mouse, finger, keyboard ---------------------------------------------------------------------

function pointer(view, pictures, { look, zoom, point, select }) {
  const { plots, overview } = pictures;
  const time = (event) => {
    const box = plots.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    return view.start + Math.min(1, Math.max(0, share)) * (view.end - view.start);
  };
  let drag = null;
  plots.addEventListener("pointerdown", (event) => {
    if (event.button > 1 || event.target.tagName !== "CANVAS") return;
    const pan = event.button === 1 || event.shiftKey;
    drag = { pan, from: time(event), x: event.clientX, start: view.start, end: view.end };
    plots.setPointerCapture(event.pointerId);
    if (event.button === 1) event.preventDefault();
  });
  plots.addEventListener("pointermove", (event) => {
    if (!drag) return;
    if (Math.abs(event.clientX - drag.x) < 4) return;
    if (drag.pan) {
      const box = plots.getBoundingClientRect();
      const by = ((drag.x - event.clientX) / (box.width - LEFT - RIGHT)) * (drag.end - drag.start);
      look(drag.start + by, drag.end + by);
    } else {
      const t = time(event);
      select([Math.min(t, drag.from), Math.max(t, drag.from)]);
    }
  });
  plots.addEventListener("pointerup", (event) => {
    if (drag && Math.abs(event.clientX - drag.x) < 4) {
      if (view.selection) select(null);
      point(time(event));
    } else if (drag && !drag.pan) point((view.selection[0] + view.selection[1]) / 2);
    drag = null;
  });
  plots.addEventListener("pointercancel", () => { drag = null; });
  // The wheel zooms on the two pictures; elsewhere it scrolls the page, unless Ctrl is held.
  plots.addEventListener("wheel", (event) => {
    const picture = event.target.closest("[data-strip=waveform], [data-strip=spectrogram]");
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!picture && !event.ctrlKey && !sideways) return;
    event.preventDefault();
    const turn = event.deltaX || event.deltaY;
    if (sideways) {
      const by = (Math.sign(turn) * (view.end - view.start)) / 8;
      look(view.start + by, view.end + by);
    } else zoom(event.deltaY > 0 ? 1.25 : 0.8, time(event));
  }, { passive: false });
  const centre = (event) => {
    const box = overview.getBoundingClientRect();
    const t = ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * view.sound.duration;
    const half = (view.end - view.start) / 2;
    look(t - half, t + half);
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); centre(event); });
  overview.addEventListener("pointermove", (event) => { if (event.buttons) centre(event); });
}

function keyboard(view, plots, { look, zoom, all, point, select, player }) {
  plots.addEventListener("keydown", (event) => {
    if (event.target !== plots || !view.sound) return;
    const width = view.end - view.start;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.shiftKey) {
      const [a, b] = view.selection ?? [view.cursor ?? view.start, view.cursor ?? view.start];
      select([a, Math.max(a, Math.min(view.sound.duration, b + (step * width) / 50))]);
    } else if (step && event.altKey) {
      point(Math.min(view.end, Math.max(view.start, (view.cursor ?? view.start) + (step * width) / 100)));
    } else if (step) look(view.start + (step * width) / 10, view.end + (step * width) / 10);
    else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") all();
    else if (event.key === "s") all(true);
    else if (event.key === " ") player.toggle();
    else if (event.key === "Escape") select(null);
    else if (event.key === "Home") look(0, width);
    else if (event.key === "End") look(view.sound.duration - width, view.sound.duration);
    else return;
    event.preventDefault();
  });
}

// --- downloads: what is seen ---------------------------------------------------------------------

function saver(lab, view, pictures) {
  const base = () => view.sound.name.split("/").at(-1).replace(/\.[a-z0-9]+$/i, "").replace(/[^\p{L}\p{N}_-]+/gu, "_");
  return {
    // one row per frame that is shown, one column per curve that is shown
    csv() {
      const columns = [];
      let grid = null;
      for (const [name, sources] of Object.entries(view.shown)) {
        for (const source of sources) {
          const entry = view.curves.get(`${name}/${source}`);
          if (!entry?.arrays[name]) continue;
          grid ??= entry.about;
          entry.about.columns[name].forEach((c, k) => columns.push([
            source === "serfeat" ? c : `${source}.${c}`, column(entry, name, k)]));
        }
      }
      if (!grid) return lab.fail(new Error("no curve is shown"));
      const rows = [["time_s", ...columns.map(([c]) => c)].join(",")];
      for (let i = 0; i < columns[0][1].length; i += 1) {
        const t = grid.start + i * grid.step;
        if (t < view.start || t > view.end) continue;
        rows.push([t.toFixed(6), ...columns.map(([, v]) => (Number.isFinite(v[i]) ? Number(v[i].toPrecision(7)) : ""))].join(","));
      }
      lab.save(`${base()}.csv`, new Blob([rows.join("\n"), "\n"], { type: "text/csv" }));
      lab.say(`${rows.length - 1} frames, ${columns.length} columns saved`);
    },
    png() {
      const shown = pictures.strips.filter((s) => !s.node.hidden);
      const scale = window.devicePixelRatio || 1;
      const line = 18 * scale;
      const all = new OffscreenCanvas(shown[0].canvas.width,
        shown.reduce((n, s) => n + s.canvas.height + line, line));
      const pen = all.getContext("2d");
      const style = getComputedStyle(document.documentElement);
      pen.fillStyle = style.getPropertyValue("--card").trim();
      pen.fillRect(0, 0, all.width, all.height);
      pen.fillStyle = style.getPropertyValue("--ink").trim();
      pen.font = `${12 * scale}px system-ui, sans-serif`;
      pen.textBaseline = "middle";
      pen.fillText(`${view.sound.name}  ${view.start.toFixed(3)} to ${view.end.toFixed(3)} s`, 6 * scale, line / 2);
      let at = line;
      for (const { title, words, canvas } of shown) {
        pen.fillText(`${title}   ${words.textContent}`, 6 * scale, at + line / 2);
        pen.drawImage(canvas, 0, at + line);
        at += line + canvas.height;
      }
      all.convertToBlob({ type: "image/png" }).then((blob) => lab.save(`${base()}.png`, blob), lab.fail);
    },
  };
}
