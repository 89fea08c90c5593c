// The stack of pictures on one time axis: overview, waveform, spectrogram, curves.
//
// Every strip has the same margins, so that one moment is one vertical line through all of them. What
// moves with the mouse (cursor, selection, playing) is drawn on a canvas of its own above them.

import { colour, extent, fit, plot } from "./plot.js";

export const LEFT = 54;
const RIGHT = 8;
const CODES = ["--silence", "--unvoiced", "--voiced"];
export const SOURCES = { serfeat: "--c2", praat: "--c1", opensmile: "--c3", librosa: "--c4" };
const METHODS = ["--c5", "--c6", "--c7"];
const NAMES = {
  praat: "Praat", opensmile: "openSMILE", f0_cc: "cross-correlation", f0_shs: "subharmonics", f0_yin: "YIN",
  hnr_ac: "autocorrelation", formants_burg: "Burg",
};

export const named = (source) => NAMES[source] ?? source;

export function colourOf(source, curve) {
  if (SOURCES[source]) return SOURCES[source];
  const others = curve.sources.map((s) => s.source).filter((s) => !SOURCES[s]);
  return METHODS[others.indexOf(source) % METHODS.length];
}

// Stretches of equal codes: [from, to, colour], s.
export function stretches(codes, start, step) {
  const found = [];
  for (let i = 0, begin = 0; i <= codes.length; i += 1) {
    if (i === codes.length || codes[i] !== codes[begin]) {
      if (i > begin) found.push([start + (begin - 0.5) * step, start + (i - 0.5) * step, CODES[codes[begin]]]);
      begin = i;
    }
  }
  return found;
}

export function column(entry, name, k) {
  const values = entry.arrays[name];
  const width = values.shape[1];
  if (width === 1) return values;
  const out = new Float32Array(values.shape[0]);
  for (let i = 0; i < out.length; i += 1) out[i] = values[i * width + k];
  return out;
}

function strip(lab, name, title, height, note) {
  const { element } = lab;
  const canvas = element("canvas", { class: `strip-${height}`, role: "img", "aria-label": title });
  const tools = element("span", { class: "row chips" });
  const words = element("small", { class: "source" });
  const head = element("div", { class: "strip-head" }, element("h3", {}, title),
    note ? element("small", {}, note) : null, tools, words);
  return { name, title, canvas, tools, words, node: element("div", { class: "strip", "data-strip": name }, head, canvas) };
}

// The axis of every strip: numbers only where asked for.
function axis(view, numbers) {
  return { range: [view.start, view.end], ticks: numbers ? undefined : false, label: null };
}

function drawOverview(canvas, view) {
  const shape = view.overview;
  if (!shape) return;
  plot(canvas, {
    left: LEFT, right: RIGHT, top: 2, bottom: 2,
    x: { range: [0, view.sound.duration], ticks: false, grid: false },
    y: { range: shape.range, ticks: false },
    layers: [
      { kind: "spans", spans: [[view.start, view.end, "--accent-soft"]] },
      shape.layer,
    ],
  });
}

export function shapeOf({ about, arrays }) {
  const x = { start: about.start, step: about.step };
  if (arrays.x) {
    return { range: symmetric(extent(arrays.x, { around: 0.1 })),
      layer: { kind: "line", x, y: arrays.x, color: "--ink", width: 1 } };
  }
  const [low] = extent(arrays.low, { around: 0.1 });
  const [, high] = extent(arrays.high, { around: 0.1 });
  return { range: symmetric([low, high]),
    layer: { kind: "band", x, low: arrays.low, high: arrays.high, color: "--ink" } };
}

function symmetric([low, high]) {
  const most = Math.max(Math.abs(low), Math.abs(high), 1e-4);
  return [-most, most];
}

const DRAW = {
  waveform(at, view) {
    const voicing = view.curves.get("voicing/serfeat");
    const spans = voicing ? stretches(voicing.arrays.voicing, voicing.about.start, voicing.about.step) : [];
    plot(at.canvas, {
      left: LEFT, right: RIGHT, x: axis(view, false),
      y: { range: view.shape?.range ?? [-1, 1], label: "full scale = 1" },
      layers: [{ kind: "spans", spans }, view.shape?.layer],
    });
    const share = voicing ? [0, 1, 2].map((c) => voicing.arrays.voicing.filter((v) => v === c).length
      / voicing.arrays.voicing.length) : [];
    at.canvas.setAttribute("aria-label", share.length ? `Waveform; ${percent(share[2])} voiced, `
      + `${percent(share[1])} unvoiced, ${percent(share[0])} silent` : "Waveform");
  },

  spectrogram(at, view) {
    const layers = [];
    if (view.picture) {
      const { about, arrays } = view.picture;
      const [columns, rows] = arrays.level.shape;
      const loudest = (about.loudest - about.lowest) / about.unit;
      layers.push({
        kind: "image", values: arrays.level, rows, columns, low: loudest - view.contrast / about.unit,
        high: loudest, x: [about.start, about.start + columns * about.step],
        y: [0, (about.top * rows) / (rows - 1)],
      });
    }
    for (const source of [...view.shown.formants].reverse()) { // ours on top
      const entry = view.curves.get(`formants/${source}`);
      if (!entry?.arrays.formants) continue;
      const x = { start: entry.about.start, step: entry.about.step };
      const color = colourOf(source, view.about.curves.formants);
      for (let k = 0; k < entry.arrays.formants.shape[1]; k += 1) {
        layers.push({ kind: "points", x, y: column(entry, "formants", k), color, radius: 1.7 });
      }
    }
    plot(at.canvas, { left: LEFT, right: RIGHT, bottom: 18, x: axis(view, true),
      y: { range: [0, view.high], label: "Hz" }, layers });
    at.canvas.setAttribute("aria-label", `Spectrogram up to ${view.high} Hz; ${formantWords(view)}`);
  },

  mfcc(at, view) {
    const source = view.shown.mfcc.find((s) => view.curves.get(`mfcc/${s}`)?.arrays.mfcc);
    const entry = view.curves.get(`mfcc/${source}`);
    const layers = [];
    if (entry) {
      const [columns, rows] = entry.arrays.mfcc.shape;
      const { start, step } = entry.about;
      layers.push({ kind: "image", ramp: "heat", values: standard(entry.arrays.mfcc, rows), rows, columns,
        low: -2.5, high: 2.5, x: [start - step / 2, start + (columns - 0.5) * step], y: [0.5, rows + 0.5] });
    }
    plot(at.canvas, { left: LEFT, right: RIGHT, bottom: 30, x: { range: [view.start, view.end], label: "s" },
      y: { range: [0.5, 13.5], label: "coefficient" }, layers });
  },
};

function drawCurve(at, view) {
  const layers = [];
  const curve = view.about.curves[at.name];
  let range = [Infinity, -Infinity];
  const said = [];
  for (const source of view.shown[at.name]) {
    const entry = view.curves.get(`${at.name}/${source}`);
    if (!entry?.arrays[at.name]) continue;
    const y = column(entry, at.name, 0);
    const here = extent(y, { around: 0.08, fallback: null });
    if (here) range = [Math.min(range[0], here[0]), Math.max(range[1], here[1])];
    layers.push({ kind: "line", y, color: colourOf(source, curve), width: source === "serfeat" ? 1.8 : 1.2,
      x: { start: entry.about.start, step: entry.about.step } });
    said.push(`${named(source)}: ${summary(y, curve.sources[0].units[0])}`);
  }
  if (range[0] > range[1]) range = at.name === "f0" ? [view.settings.floor, view.settings.ceiling] : [0, 1];
  plot(at.canvas, { left: LEFT, right: RIGHT, x: axis(view, false),
    y: { range, label: curve.sources[0].units[0] }, layers: layers.reverse() });
  at.canvas.setAttribute("aria-label", `${at.title}; ${said.join("; ") || "undefined throughout"}`);
}

// Every coefficient in standard deviations from its mean: they differ in size by decades.
function standard(values, rows) {
  const out = new Float32Array(values.length);
  for (let k = 0; k < rows; k += 1) {
    let sum = 0;
    let squares = 0;
    let n = 0;
    for (let i = k; i < values.length; i += rows) {
      sum += values[i];
      squares += values[i] * values[i];
      n += 1;
    }
    const mean = sum / n;
    const spread = Math.sqrt(Math.max(squares / n - mean * mean, 1e-12));
    for (let i = k; i < values.length; i += rows) out[i] = (values[i] - mean) / spread;
  }
  return out;
}

const percent = (share) => `${Math.round(100 * share)} %`;

export function median(values) {
  const known = [...values].filter(Number.isFinite).sort((a, b) => a - b);
  return known.length ? known[known.length >> 1] : NaN;
}

function summary(y, unit) {
  const middle = median(y);
  return Number.isFinite(middle) ? `median ${middle.toPrecision(3)} ${unit}` : "undefined throughout";
}

function formantWords(view) {
  const entry = view.curves.get("formants/serfeat");
  if (!entry?.arrays.formants) return "no formants";
  return [0, 1, 2].map((k) => `F${k + 1} median ${Math.round(median(column(entry, "formants", k)))} Hz`).join(", ");
}

// The stack: {node, draw(), mark(), strips}. `view` is what sound.js holds.
export function stack(lab, view) {
  const { element } = lab;
  const curves = view.about.curves;
  const strips = [
    strip(lab, "waveform", "Waveform", "wave"),
    strip(lab, "spectrogram", "Spectrogram and formants", "picture"),
    ...Object.keys(curves).filter((n) => n !== "formants" && n !== "mfcc")
      .map((n) => strip(lab, n, curves[n].title, "curve")),
    strip(lab, "mfcc", curves.mfcc.title, "cepstrum"),
  ];
  const overview = element("canvas", { class: "overview", role: "img", "aria-label": "The whole recording" });
  const above = element("canvas", { class: "above", "aria-hidden": "true" });
  const plots = element("div", { class: "plots", tabindex: 0, role: "group",
    "aria-label": "Pictures on one time axis. Arrow keys move, plus and minus zoom, 0 shows all, space "
      + "plays, shift with arrows selects, Escape clears the selection." }, ...strips.map((s) => s.node), above);
  const node = element("div", { class: "stack" }, overview, plots);

  const draw = (names = null) => {
    if (!view.sound || !node.clientWidth) return;
    if (!names || names.has("overview")) drawOverview(overview, view);
    for (const at of strips) {
      if (names && !names.has(at.name)) continue;
      if (at.node.hidden) continue;
      (DRAW[at.name] ?? drawCurve)(at, view);
    }
    mark();
  };

  const toX = (t, width) => LEFT + ((t - view.start) / (view.end - view.start)) * (width - LEFT - RIGHT);
  const mark = () => {
    if (!view.sound) return;
    const { pen, width, height } = fit(above);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT - RIGHT, height);
    pen.clip();
    if (view.selection) {
      pen.globalAlpha = 0.16;
      pen.fillStyle = colour("--accent");
      const [a, b] = view.selection.map((t) => toX(t, width));
      pen.fillRect(a, 0, b - a, height);
      pen.globalAlpha = 1;
      pen.fillRect(a, 0, 1, height);
      pen.fillRect(b - 1, 0, 1, height);
    }
    for (const [t, name] of [[view.cursor, "--muted"], [view.playhead, "--bad"]]) {
      if (t === null) continue;
      pen.fillStyle = colour(name);
      pen.fillRect(Math.round(toX(t, width)), 0, 1, height);
    }
    pen.restore();
  };
  return { node, plots, overview, strips, draw, mark };
}
