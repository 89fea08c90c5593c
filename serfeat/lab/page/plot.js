// Plots on a canvas: axes, lines, bands, pictures, points, spans, bars.
//
//   const view = plot(canvas, {
//     x: {label: "s", range: [0, 3]},                    // ticks: false leaves the numbers out
//     y: {label: "Hz", range: [75, 600], invert: false}, // invert: the largest at the bottom / left
//     layers: [{kind: "line", x, y, color: "--c1"}, ...],
//     left: 56,                                          // px of the left margin, to align plots
//   });
//   view.toX(t), view.toY(v), view.fromX(px), view.fromY(px), view.area {left, top, width, height}
//
// Layers (x: an array, or {start, step} for a grid; NaN breaks a line):
//   line    {x, y, color, width, dash}
//   band    {x, low, high, color}                         filled between two curves (a waveform)
//   image   {values, rows, columns, x: [a, b], y: [a, b], low, high, ramp: "ink" | "heat"}
//           values by columns of time: values[column * rows + row], row 0 is the lowest
//   points  {x, y, color, colors, radius, shape: "dot" | "ring" | "cross"}
//   spans   {spans: [[from, to, color], ...], alpha, y: [a, b]}   vertical stripes
//   bars    {x, y, color, colors, width, low, high}       from 0; low and high draw an interval
//   text    {x, y, text: [...], color, align, font}
//   rule    {x, color} or {y, color}                      a line across
//
// A colour is a CSS variable ("--c1") or a CSS colour. Canvases are sized by CSS; their pixels
// follow the screen's. A canvas says nothing to a screen reader: give it role="img" and a label.

const FONT = "11px system-ui, sans-serif";

export function colour(name) {
  if (!name) return colour("--ink");
  if (!name.startsWith("--")) return name;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#888";
}

// Round steps for about `count` ticks: 1, 2 or 5 times a power of ten.
export function ticks([low, high], count = 5) {
  const span = Math.abs(high - low);
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough - 1e-12);
  const found = [];
  const first = Math.ceil(Math.min(low, high) / step - 1e-9);
  const last = Math.floor(Math.max(low, high) / step + 1e-9);
  for (let i = first; i <= last; i += 1) found.push(i * step);
  found.digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return found;
}

export function extent(values, { around = 0.05, fallback = [0, 1] } = {}) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) return fallback;
  const room = (high - low || Math.abs(high) || 1) * around;
  return [low - room, high + room];
}

export function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth || 300;
  const height = canvas.clientHeight || 150;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function plot(canvas, { x, y, layers = [], left = 48, right = 8, top = 6, bottom = null }) {
  const { pen, width, height } = fit(canvas);
  const below = bottom ?? (x.ticks === false ? 6 : x.label ? 30 : 18);
  const area = { left, top, width: Math.max(1, width - left - right),
    height: Math.max(1, height - top - below) };
  const view = scales(area, x, y);
  grid(pen, view, x, y);
  pen.save();
  pen.beginPath();
  pen.rect(area.left, area.top, area.width, area.height);
  pen.clip();
  for (const layer of layers) if (layer) DRAW[layer.kind](pen, layer, view);
  pen.restore();
  frame(pen, view, x, y, height);
  return view;
}

function scales(area, x, y) {
  const across = x.invert ? [...x.range].reverse() : x.range;
  const up = y.invert ? [...y.range].reverse() : y.range;
  const wide = across[1] - across[0] || 1;
  const tall = up[1] - up[0] || 1;
  return {
    area,
    toX: (v) => area.left + ((v - across[0]) / wide) * area.width,
    toY: (v) => area.top + area.height - ((v - up[0]) / tall) * area.height,
    fromX: (px) => across[0] + ((px - area.left) / area.width) * wide,
    fromY: (px) => up[0] + ((area.top + area.height - px) / area.height) * tall,
  };
}

function grid(pen, view, x, y) {
  const { area } = view;
  pen.strokeStyle = colour("--grid");
  pen.lineWidth = 1;
  pen.beginPath();
  for (const v of x.grid === false ? [] : ticks(x.range, area.width / 80)) {
    const px = Math.round(view.toX(v)) + 0.5;
    pen.moveTo(px, area.top);
    pen.lineTo(px, area.top + area.height);
  }
  for (const v of y.ticks === false ? [] : ticks(y.range, area.height / 22)) {
    const py = Math.round(view.toY(v)) + 0.5;
    pen.moveTo(area.left, py);
    pen.lineTo(area.left + area.width, py);
  }
  pen.stroke();
}

function frame(pen, view, x, y, height) {
  const { area } = view;
  pen.font = FONT;
  pen.fillStyle = colour("--muted");
  pen.strokeStyle = colour("--line");
  pen.strokeRect(area.left + 0.5, area.top + 0.5, area.width - 1, area.height - 1);
  if (y.ticks !== false) {
    const marks = y.names ? null : ticks(y.range, area.height / 22);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    if (y.names) y.names.forEach((name, i) => pen.fillText(name, area.left - 5, view.toY(i)));
    else for (const v of marks) pen.fillText(v.toFixed(marks.digits), area.left - 5, inside(view.toY(v), area));
  }
  if (x.ticks !== false) {
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const base = area.top + area.height + 4;
    if (x.names) x.names.forEach((name, i) => pen.fillText(name, view.toX(i), base));
    else {
      const marks = ticks(x.range, area.width / 80);
      for (const v of marks) pen.fillText(v.toFixed(marks.digits), view.toX(v), base);
    }
    if (x.label) pen.fillText(x.label, area.left + area.width / 2, height - 13);
  }
  if (y.label) {
    pen.save();
    pen.translate(9, area.top + area.height / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(y.label, 0, 0);
    pen.restore();
  }
}

const inside = (py, area) => Math.min(area.top + area.height - 5, Math.max(area.top + 5, py));
const place = (x, i) => (x.step === undefined ? x[i] : x.start + i * x.step);

// --- layers --------------------------------------------------------------------------------------

const DRAW = {
  line(pen, { x, y, color = "--c1", width = 1.5, dash = [] }, view) {
    pen.strokeStyle = colour(color);
    pen.lineWidth = width;
    pen.setLineDash(dash);
    pen.lineJoin = "round";
    pen.lineCap = "round";
    pen.beginPath();
    let down = false;
    for (let i = 0; i < y.length; i += 1) {
      if (!Number.isFinite(y[i])) {
        down = false;
        continue;
      }
      const px = view.toX(place(x, i));
      const py = view.toY(y[i]);
      if (down) pen.lineTo(px, py);
      else {
        pen.moveTo(px, py);
        pen.lineTo(px + 0.01, py); // a value between two gaps is a dot
      }
      down = true;
    }
    pen.stroke();
    pen.setLineDash([]);
  },

  band(pen, { x, low, high, color = "--c1" }, view) {
    pen.fillStyle = colour(color);
    pen.beginPath();
    for (let i = 0; i < low.length; i += 1) {
      const px = view.toX(place(x, i));
      const next = i + 1 < low.length ? view.toX(place(x, i + 1)) : px + 1;
      const upper = view.toY(high[i]);
      pen.rect(px, upper, Math.max(0.8, next - px), Math.max(0.8, view.toY(low[i]) - upper));
    }
    pen.fill();
  },

  image(pen, { values, rows, columns, x, y, low = 0, high = 1, ramp = "ink" }, view) {
    const picture = painted(values, rows, columns, low, high, RAMPS[ramp]());
    const px = view.toX(x[0]);
    const py = view.toY(y[1]);
    pen.imageSmoothingEnabled = columns * 2 > view.area.width;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, px, py, view.toX(x[1]) - px, view.toY(y[0]) - py);
  },

  points(pen, { x, y, color = "--c1", colors, radius = 3, shape = "dot" }, view) {
    pen.fillStyle = pen.strokeStyle = colour(color);
    pen.lineWidth = 1.4;
    for (let i = 0; i < y.length; i += 1) {
      if (!Number.isFinite(y[i])) continue;
      const px = view.toX(place(x, i));
      const py = view.toY(y[i]);
      if (colors) pen.fillStyle = pen.strokeStyle = colour(colors[i]);
      pen.beginPath();
      if (shape === "cross") {
        pen.moveTo(px - radius, py - radius);
        pen.lineTo(px + radius, py + radius);
        pen.moveTo(px - radius, py + radius);
        pen.lineTo(px + radius, py - radius);
        pen.stroke();
      } else {
        pen.arc(px, py, radius, 0, 2 * Math.PI);
        if (shape === "ring") pen.stroke();
        else pen.fill();
      }
    }
  },

  spans(pen, { spans, alpha = 1, y }, view) {
    pen.globalAlpha = alpha;
    const top = y ? view.toY(y[1]) : view.area.top;
    const height = y ? view.toY(y[0]) - top : view.area.height;
    for (const [from, to, color] of spans) {
      pen.fillStyle = colour(color);
      const px = view.toX(from);
      pen.fillRect(px, top, view.toX(to) - px, height);
    }
    pen.globalAlpha = 1;
  },

  bars(pen, { x, y, color = "--c1", colors, width = 0.8, low, high }, view) {
    for (let i = 0; i < y.length; i += 1) {
      const at = x ? place(x, i) : i;
      const from = view.toX(at - width / 2);
      const zero = view.toY(0);
      pen.fillStyle = colour(colors ? colors[i] : color);
      if (Number.isFinite(y[i])) {
        const to = view.toY(y[i]);
        pen.fillRect(from, Math.min(zero, to), view.toX(at + width / 2) - from, Math.abs(to - zero));
      }
      if (low && Number.isFinite(low[i])) {
        pen.strokeStyle = colour("--ink");
        pen.lineWidth = 1.2;
        pen.beginPath();
        pen.moveTo(view.toX(at), view.toY(low[i]));
        pen.lineTo(view.toX(at), view.toY(high[i]));
        pen.stroke();
      }
    }
  },

  text(pen, { x, y, text, color = "--ink", align = "center", font = FONT }, view) {
    pen.font = font;
    pen.fillStyle = colour(color);
    pen.textAlign = align;
    pen.textBaseline = "middle";
    text.forEach((words, i) => pen.fillText(words, view.toX(place(x, i)), view.toY(y[i])));
  },

  rule(pen, { x, y, color = "--muted", width = 1 }, view) {
    const { area } = view;
    pen.strokeStyle = colour(color);
    pen.lineWidth = width;
    pen.beginPath();
    if (x !== undefined) {
      pen.moveTo(view.toX(x), area.top);
      pen.lineTo(view.toX(x), area.top + area.height);
    } else {
      pen.moveTo(area.left, view.toY(y));
      pen.lineTo(area.left + area.width, view.toY(y));
    }
    pen.stroke();
  },
};

// A picture in pixels; kept while its values live and nothing of it changes, because a curve above it
// is drawn again much more often than the picture itself.
const kept = new WeakMap(); // values -> {low, high, table, picture}

function painted(values, rows, columns, low, high, table) {
  const before = kept.get(values);
  if (before && before.low === low && before.high === high && before.table === table) return before.picture;
  const picture = new OffscreenCanvas(columns, rows);
  const brush = picture.getContext("2d");
  const pixels = brush.createImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer);
  const colours = new Uint32Array(new Uint8Array(Array.from({ length: 256 },
    (_, i) => [table[3 * i], table[3 * i + 1], table[3 * i + 2], 255]).flat()).buffer);
  const gain = 255 / (high - low || 1);
  for (let row = 0; row < rows; row += 1) {
    const line = (rows - 1 - row) * columns;
    for (let column = 0; column < columns; column += 1) {
      const v = (values[column * rows + row] - low) * gain;
      words[line + column] = colours[v > 0 ? (v < 255 ? v | 0 : 255) : 0]; // NaN is 0
    }
  }
  brush.putImageData(pixels, 0, 0);
  kept.set(values, { low, high, table, picture });
  return picture;
}

// --- colours of pictures: 256 steps, three bytes each --------------------------------------------

const known = new Map();

function ramp(name, stops) {
  if (!known.has(name)) {
    const table = new Uint8Array(768);
    for (let i = 0; i < 256; i += 1) {
      const at = (i / 255) * (stops.length - 1);
      const k = Math.min(stops.length - 2, Math.floor(at));
      for (let c = 0; c < 3; c += 1) {
        table[3 * i + c] = Math.round(stops[k][c] + (at - k) * (stops[k + 1][c] - stops[k][c]));
      }
    }
    known.set(name, table);
  }
  return known.get(name);
}

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;

const RAMPS = {
  // loud is ink on paper, as in a printed spectrogram; in the dark, light on slate
  ink: () => (dark() ? ramp("ink-dark", [[21, 25, 31], [52, 62, 76], [150, 164, 180], [246, 248, 250]])
    : ramp("ink", [[255, 255, 255], [218, 222, 228], [112, 120, 134], [16, 20, 28]])),
  // even steps of lightness, for values that are not loudness
  heat: () => ramp("heat", [[26, 18, 51], [88, 31, 110], [176, 52, 98], [236, 120, 60], [252, 222, 140]]),
};
