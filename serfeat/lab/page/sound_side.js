// Beside the stack: the sliders, one spectrum, the vowel chart.

import { extent, plot } from "./plot.js";
import { column, median } from "./sound_stack.js";

// Sliders with undo and reset. changed(name): the settings have moved.
export function sliders(lab, view, changed) {
  const { element } = lab;
  const past = [];
  const rows = {};
  let before = null;
  const put = (settings) => {
    const moved = Object.keys(settings).filter((n) => settings[n] !== view.settings[n]);
    Object.assign(view.settings, settings);
    for (const name of moved) show(name);
    undo.disabled = !past.length;
    if (moved.length) changed(moved);
  };
  const show = (name) => {
    const { input, output, about } = rows[name];
    input.value = view.settings[name];
    output.textContent = `${view.settings[name]} ${about.unit}`;
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const move = (name, value) => {
    before ??= { ...view.settings };
    const settings = { [name]: value };
    // the floor stays below the ceiling
    if (name === "floor" && value >= view.settings.ceiling) settings.ceiling = value + 10;
    if (name === "ceiling" && value <= view.settings.floor) settings.floor = value - 10;
    performance.mark("slider");
    put(settings);
  };
  const settle = () => {
    if (before) past.push(before);
    before = null;
    undo.disabled = !past.length;
  };
  const made = Object.entries(view.about.sliders).map(([name, about]) => {
    const id = `slider-${name}`;
    const output = element("output", { for: id, class: "number" });
    const input = element("input", { type: "range", id, min: about.low, max: about.high, step: about.step,
      "aria-describedby": `${id}-words`, oninput: () => move(name, Number(input.value)), onchange: settle });
    rows[name] = { input, output, about };
    return element("div", { class: "slider" }, element("label", { for: id }, about.title), output, input,
      element("small", { id: `${id}-words` }, about.summary));
  });
  const undo = element("button", { id: "slider-undo", disabled: true,
    onclick: () => { if (past.length) put(past.pop()); } }, "Undo");
  const reset = element("button", { id: "slider-reset", onclick: () => {
    past.push({ ...view.settings });
    put(Object.fromEntries(Object.entries(view.about.sliders).map(([n, s]) => [n, s.default])));
    undo.disabled = false;
  } }, "Reset");
  for (const name of Object.keys(rows)) show(name);
  const node = element("section", { class: "card", "aria-label": "Settings of the analysis" },
    element("div", { class: "row spread" }, element("h2", {}, "Analysis"),
      element("span", { class: "row" }, undo, reset)), ...made);
  node.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      undo.click();
    }
  });
  return node;
}

// F1 against F2, as phoneticians draw them: close vowels above, front vowels on the left.
export function vowels(lab, view) {
  const { element } = lab;
  const canvas = element("canvas", { class: "square", role: "img", "aria-label": "Vowel chart" });
  const kinds = Object.keys(view.about.vowels);
  const who = element("select", { id: "vowel-reference", "aria-label": "reference vowels",
    onchange: () => draw() }, ...kinds.map((k) => element("option", { value: k }, k)),
  element("option", { value: "" }, "none"));
  const words = element("p", { class: "quiet" });
  const draw = () => {
    const entry = view.curves.get("formants/serfeat");
    const [from, to] = view.selection ?? [view.start, view.end];
    const f1 = [];
    const f2 = [];
    if (entry?.arrays.formants) {
      const first = column(entry, "formants", 0);
      const second = column(entry, "formants", 1);
      for (let i = 0; i < first.length; i += 1) {
        const t = entry.about.start + i * entry.about.step;
        if (t >= from && t <= to && Number.isFinite(first[i] + second[i])) {
          f1.push(first[i]);
          f2.push(second[i]);
        }
      }
    }
    const reference = Object.entries(view.about.vowels[who.value] ?? {});
    const middle = [median(f1), median(f2)];
    plot(canvas, {
      left: 44,
      x: { range: [500, 3400], invert: true, label: "F2, Hz" },
      y: { range: [150, 1150], invert: true, label: "F1, Hz" },
      layers: [
        { kind: "points", x: f2, y: f1, color: "--c2", radius: 1.8 },
        { kind: "text", x: reference.map(([, v]) => v[1]), y: reference.map(([, v]) => v[0]),
          text: reference.map(([name]) => name), color: "--c1", font: "15px system-ui, sans-serif" },
        f1.length && { kind: "points", x: [middle[1]], y: [middle[0]], color: "--ink", radius: 6, shape: "ring" },
      ],
    });
    const stretch = view.selection ? "selection" : "view";
    words.textContent = f1.length
      ? `${f1.length} voiced frames of the ${stretch}; ring: median, F1 ${Math.round(middle[0])} Hz, `
        + `F2 ${Math.round(middle[1])} Hz. Letters: ${view.about.vowels_source} (${who.value || "none"}).`
      : `No voiced frames with formants in the ${stretch}.`;
    canvas.setAttribute("aria-label", `Vowel chart: ${words.textContent}`);
  };
  return {
    draw,
    node: element("section", { class: "card", "aria-label": "Vowel chart" },
      element("div", { class: "row spread" }, element("h2", {}, "Vowel chart"), who), canvas, words),
  };
}

// The spectrum at the cursor and the envelope of its linear prediction.
export function slice(lab, view) {
  const { element } = lab;
  const canvas = element("canvas", { class: "wide", role: "img", "aria-label": "Spectrum" });
  const words = element("p", { class: "quiet" });
  const draw = () => {
    if (!view.slice) return;
    const { about, arrays } = view.slice;
    const x = { start: 0, step: about.step };
    const shown = arrays.level.subarray(0, Math.ceil(view.high / about.step));
    const [, loudest] = extent(shown, { around: 0.06 });
    const marks = formantsAt(view, about.time);
    plot(canvas, {
      left: 44,
      x: { range: [0, view.high], label: "Hz" },
      y: { range: [loudest - 80, loudest], label: "dB re full scale" },
      layers: [
        ...marks.map((f) => ({ kind: "rule", x: f, color: "--c2" })),
        { kind: "line", x, y: arrays.level, color: "--muted", width: 1 },
        { kind: "line", x, y: arrays.envelope, color: "--c1", width: 2 },
      ],
    });
    const where = marks.length ? `formants at ${marks.map((f) => Math.round(f)).join(", ")} Hz`
      : "no formants here: not voiced";
    words.textContent = `At ${about.time.toFixed(3)} s: spectrum (grey), envelope of linear prediction with `
      + `${about.order} poles below ${about.top} Hz (blue), ${where}.`;
    canvas.setAttribute("aria-label", words.textContent);
  };
  return {
    draw,
    node: element("section", { class: "card", "aria-label": "Spectrum at the cursor" },
      element("h2", {}, "Spectrum at the cursor"), canvas, words),
  };
}

function formantsAt(view, time) {
  const entry = view.curves.get("formants/serfeat");
  if (!entry?.arrays.formants) return [];
  const { start, step } = entry.about;
  const [frames, width] = entry.arrays.formants.shape;
  const i = Math.round((time - start) / step);
  if (i < 0 || i >= frames) return [];
  return [...entry.arrays.formants.subarray(i * width, (i + 1) * width)].filter(Number.isFinite);
}
