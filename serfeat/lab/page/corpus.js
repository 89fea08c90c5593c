// The Corpus view: what is in a corpus, how its features are spread, what could not be measured.

import {
  COLOURS, SHAPES, bar, choose, clipList, duration, fixed, legend, listen, meter, percent, plural, styles,
  table, turns, waiting, watch,
} from "./parts.js";
import { extent, plot } from "./plot.js";

const NAMED = 2 * COLOURS.length; // groups that the legend of a map names

export async function mount(panel, lab) {
  styles();
  const { element } = lab;
  const view = element("div", { class: "view" });
  panel.replaceChildren(view);
  const offered = await lab.get("/api/corpus/list");
  if (!offered.corpora.length) {
    view.replaceChildren(element("section", { class: "card" }, element("h2", {}, "No corpus is open"),
      element("p", {}, "Open the lab with a corpus or a folder of recordings:"),
      element("pre", { class: "command" }, "serfeat lab --corpus emodb\nserfeat lab my/recordings")));
    return;
  }
  const body = element("div", { class: "view" });
  const turn = turns();
  const open = async (number) => {
    const stale = turn();
    const about = await lab.get(`/api/corpus/${number}/overview`);
    if (stale()) return;
    body.replaceChildren(...oneCorpus(lab, Number(number), about, offered, stale));
  };
  const menu = choose(lab, "Corpus", offered.corpora.map((c, i) =>
    ({ value: String(i), text: `${c.name} (${plural(c.rows, "clip")})` })), "0",
  (v) => open(v).catch(lab.fail));
  view.replaceChildren(element("div", { class: "row" }, menu.whole), body);
  await open("0");
}

// --- what there is --------------------------------------------------------------------------------

function oneCorpus(lab, number, about, offered, stale) {
  const { element } = lab;
  const below = `/api/corpus/${number}`;
  const clips = element("div");
  const pressed = { button: null };
  const list = async (button, caption, wanted) => {
    pressed.button?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    pressed.button = button;
    const made = clipList(lab, caption, [{ name: "clip" }, { name: "speaker" }, { name: "emotion" }],
      (r) => [r.file, r.speaker, r.emotion], (first) => lab.get(`${below}/clips`, { ...wanted, first }));
    clips.replaceChildren(made.holder);
    await made.grow(false);
  };
  const tiles = element("dl", { class: "tiles" });
  fill(lab, tiles, about, null);
  const head = element("section", { class: "card" },
    element("h2", {}, about.title),
    element("div", { class: "marks" },
      about.synthetic ? element("span", { class: "chip warn" }, "synthetic speech") : null,
      element("span", { class: "chip" }, about.licence)),
    tiles,
    about.warnings.length ? element("ul", { class: "reasons" }, about.warnings.map((w) => element("li", {}, w))) : null);
  const length = element("section", { class: "card" }, element("h2", {}, "Durations"),
    waiting(lab, "reading the headers"));
  durations(lab, below, length, stale).then((found) => found && fill(lab, tiles, about, found.total))
    .catch((error) => length.replaceChildren(element("h2", {}, "Durations"),
      element("p", { class: "fail" }, error.message)));
  return [head, element("div", { class: "columns" }, balance(lab, about, list), length),
    coverage(lab, about, list, clips), features(lab, below, offered, stale)];
}

function fill(lab, tiles, about, total) {
  const facts = [["clips", about.rows], ["speakers", about.speakers],
    ["emotions", about.emotions.filter((e) => !e.name.startsWith("(")).length],
    ["of speech", total === null ? "…" : duration(total)],
    ["largest emotion to smallest", about.imbalance === null ? "–" : `${fixed(about.imbalance, 1)} : 1`]];
  if (about.texts) facts.push(["sentences", about.texts]);
  if (about.sessions) facts.push(["sessions", about.sessions]);
  for (const [name, n] of Object.entries(about.sexes)) facts.push([`clips, ${name}`, n]);
  tiles.replaceChildren(...facts.map(([dt, dd]) =>
    lab.element("div", {}, lab.element("dt", {}, dt), lab.element("dd", {}, String(dd)))));
}

function balance(lab, about, list) {
  const { element } = lab;
  const largest = Math.max(...about.emotions.map((e) => e.share));
  const names = about.emotions.map((e) => e.name).sort(); // the order of the other pictures
  const rows = about.emotions.map((e) => {
    const button = element("button", { class: "entry", "aria-pressed": "false",
      onclick: () => list(button, e.name, { emotion: e.name }).catch(lab.fail) }, e.name);
    return [button, bar(lab, e.share / largest, String(e.clips), { colour: COLOURS[names.indexOf(e.name) % COLOURS.length] }),
      percent(e.share)];
  });
  return element("section", { class: "card" }, table(lab, "Balance of the labels",
    [{ name: "emotion" }, { name: "clips" }, { name: "share", number: true }], rows));
}

function coverage(lab, about, list, clips) {
  const { element } = lab;
  const { speakers, emotions, counts } = about.coverage;
  const largest = Math.max(1, ...counts.flat());
  const cell = (i, j) => {
    const n = counts[i][j];
    const what = `${speakers[i]}, ${emotions[j]}`;
    const button = element("button", { class: "cell", "aria-pressed": "false", disabled: n === 0,
      "aria-label": `${what}: ${plural(n, "clip")}`, title: `${what}: ${n}`,
      onclick: () => list(button, what, { speaker: speakers[i], emotion: emotions[j] }).catch(lab.fail),
    }, String(n));
    button.style.setProperty("--share", n / largest);
    return element("td", {}, button);
  };
  const holes = about.empty ? `${plural(about.empty, "pair")} of a speaker and an emotion without a clip.`
    : "Every speaker has every emotion.";
  return element("section", { class: "card" }, element("h2", {}, "Who says what"),
    element("p", { class: "quiet" }, `${holes} Choose a cell to hear its clips.`),
    element("div", { class: "columns" },
      element("div", { class: "scroll tall" }, element("table", { class: "matrix" },
        element("thead", {}, element("tr", {}, element("td"), emotions.map((e) => element("th", { scope: "col" }, e)))),
        element("tbody", {}, speakers.map((s, i) => element("tr", {}, element("th", { scope: "row" }, s),
          emotions.map((_, j) => cell(i, j))))))), clips));
}

// --- distributions --------------------------------------------------------------------------------

async function durations(lab, below, holder, stale) {
  const found = await lab.get(`${below}/durations`);
  if (stale()) return null;
  holder.replaceChildren(lab.element("h2", {}, "Durations"),
    ...spread(lab, { ...found, column: "duration" }),
    found.unread ? lab.element("p", { class: "fail" }, `${plural(found.unread, "file")} cannot be read.`) : "");
  return found;
}

// Half violins with a box: how a column is spread in every group.
function spread(lab, found) {
  const { element } = lab;
  const { edges, groups } = found;
  const most = Math.max(...groups.flatMap((g) => g.density), 1e-9);
  const middles = edges.slice(1).map((e, i) => (e + edges[i]) / 2);
  const words = groups.map((g) => `${g.name}: median ${fixed(g.quantiles[2])}`).join(", ");
  const canvas = element("canvas", { class: "spread", role: "img",
    "aria-label": `${found.column} by ${found.by}. ${words}` });
  const draw = () => {
    const layers = [];
    groups.forEach((g, i) => {
      const colour = COLOURS[i % COLOURS.length];
      const row = groups.length - 1 - i;
      layers.push({ kind: "band", x: edges.slice(0, -1), color: colour,
        low: middles.map(() => row), high: g.density.map((d) => row + (0.75 * d) / most) });
      if (!g.quantiles.length) return;
      const [q5, q25, q50, q75, q95] = g.quantiles;
      const line = (x, y, width) => layers.push({ kind: "line", x, y, color: "--ink", width });
      line([q5, q95], [row - 0.1, row - 0.1], 1);
      line([q25, q75], [row - 0.1, row - 0.1], 4);
      layers.push({ kind: "points", x: [q50], y: [row - 0.1], color: "--card", radius: 2 });
    });
    plot(canvas, { left: 92, x: { label: found.unit && found.unit !== "1" ? found.unit : found.column,
      range: [edges[0], edges.at(-1)] },
    y: { range: [-0.4, groups.length - 0.1], ticks: true, names: [...groups].reverse().map((g) => short(g.name)) },
    layers });
  };
  canvas.style.height = `${Math.max(6, 2.1 * groups.length + 2.5)}rem`;
  new ResizeObserver(() => { if (canvas.isConnected) draw(); }).observe(canvas);
  lab.events.addEventListener("theme", draw);
  const numbers = table(lab, "The same in numbers", [{ name: found.by }, { name: "clips", number: true },
    { name: "undefined", number: true }, { name: "5 %", number: true }, { name: "25 %", number: true },
    { name: "median", number: true }, { name: "75 %", number: true }, { name: "95 %", number: true }],
  groups.map((g) => [g.name, String(g.n), String(g.undefined),
    ...(g.quantiles.length ? g.quantiles : [null, null, null, null, null]).map((q) => (q === null ? "–"
      : Number(q.toPrecision(4)).toString()))]));
  return [canvas, element("details", {}, element("summary", {}, "in numbers"), numbers)];
}

const short = (name) => (name.length > 14 ? `${name.slice(0, 13)}…` : name);

// --- features -------------------------------------------------------------------------------------

function features(lab, below, offered, stale) {
  const { element } = lab;
  const state = { set: "classic" };
  const progress = meter(lab);
  const body = element("div", { class: "view" });
  const begin = element("button", { class: "main" }, "measure the features");
  const cancel = element("button", { hidden: true }, "cancel");
  const path = () => `${below}/features?set=${encodeURIComponent(state.set)}`;
  const look = async (first) => {
    const set = state.set;
    const shown = (s) => {
      if (stale() || set !== state.set) return;
      progress.show(s);
      begin.hidden = s.state === "running" || s.state === "done";
      cancel.hidden = s.state !== "running";
    };
    shown(first);
    const last = first.state === "running" ? await watch(() => lab.get(path()), shown) : first;
    if (last.state !== "done" || stale() || set !== state.set) return;
    const columns = await lab.get(`${below}/columns`, { set });
    const failed = await lab.get(`${below}/failures`, { set });
    if (stale() || set !== state.set) return;
    lab.say(`${plural(columns.length, "feature")} of every clip are there`);
    body.replaceChildren(element("div", { class: "columns" },
      columnView(lab, below, set, columns), mapView(lab, below, set, offered.maps)),
    failures(lab, failed));
  };
  const start = () => lab.get(path()).then(look).catch(lab.fail);
  begin.addEventListener("click", () => lab.post(path()).then(look).catch(lab.fail));
  cancel.addEventListener("click", () => lab.post(`${path()}&cancel=1`).catch(lab.fail));
  const menu = choose(lab, "Feature set", offered.sets.map((s) => s.name), state.set, (v) => {
    state.set = v;
    body.replaceChildren();
    start();
  });
  start();
  return element("section", { class: "card" }, element("h2", {}, "Features"),
    element("p", { class: "quiet" }, "One row per clip. They are computed in the background, once, and kept."),
    element("div", { class: "row" }, menu.whole, begin, cancel), progress.holder, body);
}

function columnView(lab, below, set, columns) {
  const { element } = lab;
  const state = { column: columns[0].name, by: "emotion" };
  const picture = element("div");
  const told = element("p", { class: "quiet" });
  const turn = turns();
  const draw = async () => {
    const late = turn();
    const found = await lab.get(`${below}/distribution`, { set, ...state });
    if (late()) return;
    const known = columns.find((c) => c.name === state.column);
    told.textContent = `η² ${fixed(known.emotion)} between emotions, ${fixed(known.speaker)} between speakers: `
      + "the share of its variance that they explain, alone.";
    picture.replaceChildren(...spread(lab, found));
  };
  const again = () => draw().catch(lab.fail);
  const menu = choose(lab, "Column", columns.map((c) => ({ value: c.name,
    text: `${c.name}  (η² ${fixed(c.emotion)})` })), state.column, (v) => { state.column = v; again(); });
  const by = choose(lab, "by", ["emotion", "speaker"], "emotion", (v) => { state.by = v; again(); });
  again();
  return element("div", {}, element("h3", {}, "One column"),
    element("p", { class: "quiet" }, "Sorted by how much of a column's variance lies between emotions; the best of "
      + "many is the best partly by luck."),
    element("div", { class: "row" }, menu.whole, by.whole), told, picture);
}

function failures(lab, rows) {
  const { element } = lab;
  if (!rows.length) return element("p", { class: "quiet" }, "Every clip could be measured.");
  return table(lab, `${plural(rows.length, "clip")} without features`, [{ name: "clip" }, { name: "stage" },
    { name: "reason" }, { name: "in words", wrap: true }], rows.map((f) => [f.file, f.stage, f.reason, f.message]));
}

// --- maps -----------------------------------------------------------------------------------------

function mapView(lab, below, set, kinds) {
  const { element } = lab;
  const state = { kind: "pca", by: "emotion", found: null, at: -1, view: null };
  const canvas = element("canvas", { class: "map", tabindex: "0", role: "application",
    "aria-label": "map of the clips: arrow keys go from clip to clip, Enter plays" });
  const about = element("p", { class: "quiet", "aria-live": "polite" });
  const busy = element("div");
  const words = element("div");
  const keys = element("ul", { class: "legend" });
  const turn = turns();
  const draw = () => {
    if (state.found && canvas.isConnected) state.view = drawMap(canvas, state);
  };
  const load = async () => {
    const late = turn();
    canvas.classList.add("old"); // what is still drawn is another map
    words.replaceChildren();
    busy.replaceChildren(waiting(lab, state.kind === "umap"
      ? "laying the clips flat; the first time UMAP compiles itself, about a minute" : "laying the clips flat"));
    const found = await lab.block(`${below}/map`, { set, kind: state.kind, by: state.by });
    if (late()) return;
    Object.assign(state, { found, at: -1 });
    canvas.classList.remove("old");
    busy.replaceChildren();
    words.replaceChildren(...mapWords(lab, found.about));
    keys.replaceChildren(...legend(lab, found.about.names.slice(0, NAMED)).children);
    about.textContent = "Choose a point to hear it.";
    draw();
  };
  const again = () => load().catch((error) => {
    busy.replaceChildren();
    words.replaceChildren(element("p", { class: "fail" }, error.message));
  });
  const go = (i) => {
    state.at = i;
    const { files, names, by } = state.found.about;
    about.textContent = `${files[i]} · ${by} ${names[state.found.arrays.group[i]]}`;
    draw();
  };
  const hear = () => {
    const { sounds, files } = state.found.about;
    if (state.at >= 0 && sounds[state.at]) listen(lab, sounds[state.at], files[state.at]);
  };
  canvas.addEventListener("click", (event) => {
    if (!state.found) return;
    const i = nearest(state, event.offsetX, event.offsetY);
    if (i >= 0) { go(i); hear(); }
  });
  canvas.addEventListener("keydown", (event) => {
    if (!state.found) return;
    const step = STEPS[event.key];
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); hear(); }
    if (step) { event.preventDefault(); go(beside(state, step)); }
  });
  new ResizeObserver(draw).observe(canvas);
  lab.events.addEventListener("theme", draw);
  const kind = choose(lab, "Map", kinds.map((k) => ({ value: k, text: k.toUpperCase() })), "pca",
    (v) => { state.kind = v; again(); });
  const by = choose(lab, "coloured by", ["emotion", "speaker"], "emotion", (v) => { state.by = v; again(); });
  again();
  return element("div", {}, element("h3", {}, "A map of the clips"),
    element("div", { class: "row" }, kind.whole, by.whole), busy, keys, canvas, about, words);
}

const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function drawMap(canvas, { found, at }) {
  const { x, y, group } = found.arrays;
  const { names, kind, explained } = found.about;
  const share = (i) => (explained.length ? ` (${percent(explained[i])} of the variance)` : "");
  const layers = names.map((_, g) => {
    const mine = [...group.keys()].filter((i) => group[i] === g);
    return { kind: "points", x: mine.map((i) => x[i]), y: mine.map((i) => y[i]),
      radius: x.length > 2000 ? 2 : 3.2, color: COLOURS[g % COLOURS.length],
      shape: SHAPES[Math.floor(g / COLOURS.length) % SHAPES.length] };
  });
  if (at >= 0) layers.push({ kind: "points", x: [x[at]], y: [y[at]], radius: 7, color: "--ink", shape: "ring" });
  const word = kind === "pca" ? "component" : "UMAP";
  return plot(canvas, { x: { label: `${word} 1${share(0)}`, range: extent(x) },
    y: { label: `${word} 2${share(1)}`, range: extent(y) }, layers });
}

function nearest({ found, view }, px, py) {
  const { x, y } = found.arrays;
  let best = -1;
  let least = 20 ** 2; // px: further away is beside every point
  for (let i = 0; i < x.length; i += 1) {
    const d = (view.toX(x[i]) - px) ** 2 + (view.toY(y[i]) - py) ** 2;
    if (d < least) { least = d; best = i; }
  }
  return best;
}

// The nearest point in a direction: within a cone of 45 degrees to both sides.
function beside({ found, view, at }, [dx, dy]) {
  const { x, y } = found.arrays;
  if (at < 0) return 0;
  let best = at;
  let least = Infinity;
  for (let i = 0; i < x.length; i += 1) {
    const right = view.toX(x[i]) - view.toX(x[at]);
    const up = view.toY(y[at]) - view.toY(y[i]);
    const along = right * dx + up * dy;
    const across = Math.abs(right * dy) + Math.abs(up * dx);
    const d = along * along + across * across;
    if (along > 0 && across <= along && d < least) { least = d; best = i; }
  }
  return best;
}

function mapWords(lab, about) {
  const near = Object.entries(about.neighbours).map(([name, n]) =>
    `of the same ${name} in ${percent(n.same)} (by chance ${percent(n.chance)})`);
  return [lab.element("p", {}, about.words),
    lab.element("p", { class: "quiet" }, "A map is no evidence: heaps may be speakers, microphones or sentences, and "
      + "what overlaps here may be apart in the other columns."),
    near.length ? lab.element("p", { class: "quiet" },
      `In all columns the nearest other clip is ${near.join(", and ")}.`) : ""];
}
