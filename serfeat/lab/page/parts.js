// Pieces that the views Emotion, Live, Runs and Corpus share: tables, bars, buttons that play a clip.

export const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
export const SHAPES = ["dot", "ring", "cross"];

// The style of these views, once.
export function styles() {
  if (document.getElementById("views-style")) return;
  const link = document.createElement("link");
  link.id = "views-style";
  link.rel = "stylesheet";
  link.href = "page/views.css";
  document.head.append(link);
}

const known = (v) => v !== null && v !== undefined && Number.isFinite(v);
export const percent = (v, digits = 0) => (known(v) ? `${(100 * v).toFixed(digits)} %` : "–");
export const fixed = (v, digits = 2) => (known(v) ? v.toFixed(digits) : "–");
export const points = (v) => (known(v) ? `${v < 0 ? "−" : "+"}${Math.abs(100 * v).toFixed(1)}` : "–");
export const plural = (n, one, many) => `${n} ${n === 1 ? one : many ?? `${one}s`}`;

export function duration(seconds) {
  if (!known(seconds)) return "–";
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// table(lab, "caption", [{name, number}, ...], rows): cells are strings, numbers or elements.
export function table(lab, caption, head, rows) {
  const { element } = lab;
  const kind = (i) => (head[i]?.number ? "number" : head[i]?.wrap ? "wrap" : null);
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {},
        head.map((h, i) => element("th", { scope: "col", class: kind(i), title: h.title }, h.name)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell, i) =>
        (i === 0 ? element("th", { scope: "row" }, cell)
          : element("td", { class: kind(i) }, cell))))))));
}

// A bar of a share 0..1 with its words; `low` and `high` draw an interval, `mark` a line across.
export function bar(lab, share, words, { low, high, mark, colour = "--c1", title } = {}) {
  const SVG = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(SVG, "svg");
  const set = (node, attributes) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const draw = (tag, attributes) => picture.append(set(document.createElementNS(SVG, tag), attributes));
  set(picture, { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: "bar", "aria-hidden": "true" });
  draw("rect", { x: 0, y: 0, width: 100, height: 10, class: "bar-back" });
  if (known(share)) {
    draw("rect", { x: 0, y: 1, width: Math.max(0, Math.min(100, 100 * share)), height: 8,
      class: `bar-fill fill-${colour.slice(2)}` });
  }
  if (known(low) && known(high)) {
    draw("line", { x1: 100 * low, x2: 100 * high, y1: 5, y2: 5, class: "bar-interval" });
  }
  if (known(mark)) draw("line", { x1: 100 * mark, x2: 100 * mark, y1: 0, y2: 10, class: "bar-mark" });
  return lab.element("span", { class: "barred", title },
    picture, lab.element("span", { class: "number" }, words));
}

// A bar on both sides of 0, for what spoke for a label and what against it.
export function diverging(lab, value, largest, words) {
  const SVG = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "-50 0 100 10");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("class", "bar");
  picture.setAttribute("aria-hidden", "true");
  const width = largest > 0 ? (50 * Math.abs(value)) / largest : 0;
  for (const [x, w, kind] of [[-50, 100, "bar-back"], [value < 0 ? -width : 0, width,
    value < 0 ? "fill-against" : "fill-for"], [-0.25, 0.5, "bar-zero"]]) {
    const part = document.createElementNS(SVG, "rect");
    for (const [name, v] of Object.entries({ x, y: 0, width: w, height: 10, class: kind })) {
      part.setAttribute(name, v);
    }
    picture.append(part);
  }
  return lab.element("span", { class: "barred" }, picture, lab.element("span", { class: "number" }, words));
}

// The names of lines or points, each with a dot of its colour.
export function legend(lab, names) {
  const SVG = "http://www.w3.org/2000/svg";
  return lab.element("ul", { class: "legend" }, names.map((name, i) => {
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("viewBox", "0 0 10 10");
    picture.setAttribute("aria-hidden", "true");
    const dot = document.createElementNS(SVG, "circle");
    const colour = `var(${COLOURS[i % COLOURS.length]})`;
    const open = i >= COLOURS.length; // a second time, as the ring that it is in the picture
    const marks = { cx: 5, cy: 5, r: 4, fill: open ? "none" : colour, stroke: open ? colour : "none" };
    for (const [a, v] of Object.entries({ ...marks, "stroke-width": 1.5 })) dot.setAttribute(a, v);
    picture.append(dot);
    return lab.element("li", {}, picture, lab.element("span", {}, name));
  }));
}

// A button that plays a clip and makes it the recording that all views are about.
export function hear(lab, row, words = "▶") {
  if (!row.sound) {
    return lab.element("span", { class: "quiet", title: "its corpus is not open in this lab" }, "–");
  }
  const name = row.file;
  return lab.element("button", {
    class: "hear", "aria-label": `play ${name}`, title: `play ${name}`,
    onclick: () => listen(lab, row.sound, name),
  }, words);
}

export async function listen(lab, sound, name) {
  try {
    lab.clear?.();
    lab.choose({ id: sound, name, duration: null });
    lab.say(`playing ${name}`);
    await lab.play(sound);
  } catch (error) {
    lab.fail(error);
  }
}

// A select with a label: choose(lab, "Entry", ["a", {value, text}], "a", (value) => ...).
export function choose(lab, label, options, value, changed) {
  const { element } = lab;
  const menu = element("select", { onchange: () => changed(menu.value) },
    options.map((o) => (typeof o === "string" ? { value: o, text: o } : o))
      .map((o) => element("option", { value: o.value, selected: o.value === value }, o.text)));
  const whole = element("label", { class: "field" }, element("span", {}, label), menu);
  return { whole, menu };
}

// A list of clips that grows by a button: more(first) -> {total, rows}.
export function clipList(lab, caption, head, cells, more) {
  const { element } = lab;
  const holder = element("div", { class: "clips" });
  const rows = [];
  async function grow(focus) {
    const found = await more(rows.length);
    rows.push(...found.rows);
    const parts = [table(lab, `${caption}: ${plural(found.total, "clip")}`,
      head, rows.map((r) => {
        const [name, ...others] = cells(r);
        return [element("span", { class: "heard" }, hear(lab, r), element("bdi", {}, name)), ...others];
      }))];
    if (rows.length < found.total) {
      parts.push(element("button", { onclick: () => grow(true).catch(lab.fail) },
        `show ${Math.min(50, found.total - rows.length)} more`));
    }
    if (rows.length && !rows.some((r) => r.sound)) {
      parts.push(element("p", { class: "quiet" }, "These recordings are not open in this lab: start it "
        + "with `serfeat lab --corpus NAME` to hear them."));
    }
    const at = holder.querySelectorAll(".hear").length;
    holder.replaceChildren(...parts);
    if (focus) holder.querySelectorAll(".hear")[at]?.focus();
    lab.say(`${caption}: ${rows.length} of ${plural(found.total, "clip")} shown`);
  }
  return { holder, grow };
}

// Only the last of several requests may draw: const stale = turn(); ... if (stale()) return;
export function turns() {
  let latest = 0;
  return () => {
    latest += 1;
    const mine = latest;
    return () => mine !== latest;
  };
}

export const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Watch a task of the background until it ends: look() -> {state, stage, done, total, error}.
export async function watch(look, show) {
  for (;;) {
    const found = await look();
    show(found);
    if (found.state !== "running") return found;
    await wait(500);
  }
}

// A sign of life where nobody knows how far it is: what is done, and for how many seconds now.
export function waiting(lab, words) {
  const { element } = lab;
  const seconds = element("span", { class: "quiet number", "aria-hidden": "true" });
  const holder = element("p", { class: "row" }, element("progress", { "aria-label": words }),
    element("span", { class: "quiet" }, words), seconds);
  const begun = performance.now();
  const clock = setInterval(() => {
    if (!holder.isConnected) clearInterval(clock);
    seconds.textContent = `${Math.round((performance.now() - begun) / 1000)} s`;
  }, 1000);
  return holder;
}

// Progress of a task, with a line that is read aloud now and then.
export function meter(lab) {
  const { element } = lab;
  const progress = element("progress", { max: "1", "aria-label": "progress" });
  const words = element("span", { class: "quiet" });
  const holder = element("p", { class: "row", hidden: true }, progress, words);
  const show = ({ state, stage, done, total, error }) => {
    holder.hidden = state === "none" || state === "done";
    if (total) progress.value = done / total;
    else progress.removeAttribute("value");
    progress.hidden = state === "failed";
    words.textContent = state === "failed" ? error
      : `${stage || "starting"}${total ? `: ${done} of ${total}` : ""}`;
    words.className = state === "failed" ? "fail" : "quiet";
  };
  return { holder, show };
}
