// The Runs view: stored comparisons, from the leaderboard down to the clip that was misheard.

import {
  bar, choose, clipList, fixed, percent, plural, points, styles, table, turns, waiting,
} from "./parts.js";

export async function mount(panel, lab) {
  styles();
  const { element } = lab;
  const view = element("div", { class: "view" });
  panel.replaceChildren(view);
  const found = await lab.get("/api/runs/list");
  if (!found.runs.length) {
    view.replaceChildren(nothing(lab, found.how));
    return;
  }
  const detail = element("div", { class: "view" });
  const turn = turns();
  const list = runList(lab, found.runs, async (run) => {
    const stale = turn();
    lab.clear();
    detail.replaceChildren(waiting(lab, `reading ${run.name}; every pair of its entries is tested`));
    try {
      const about = await lab.get(`/api/runs/${run.id}/overview`);
      if (stale()) return;
      const { address } = await lab.post(`/api/runs/${run.id}/report`);
      if (!stale()) detail.replaceChildren(...oneRun(lab, run, about, address));
    } catch (error) {
      if (stale()) return;
      detail.replaceChildren(element("p", { class: "fail" }, error.message));
      lab.fail(error);
    }
  });
  view.replaceChildren(list.holder, detail);
  const first = found.runs.find((r) => !r.problem);
  if (first) list.open(first);
}

function nothing(lab, how) {
  return lab.element("section", { class: "card" },
    lab.element("h2", {}, "No stored comparison yet"),
    lab.element("p", {}, "A comparison runs classical and deep models on the same folds and stores what "
      + "each of them said. This one takes two minutes, on synthetic speech:"),
    lab.element("pre", { class: "command" }, how));
}

// --- the list ------------------------------------------------------------------------------------

function runList(lab, runs, opened) {
  const { element } = lab;
  const buttons = new Map();
  const open = (run) => {
    for (const [id, button] of buttons) button.setAttribute("aria-pressed", String(id === run.id));
    opened(run);
  };
  const score = (r) => (r.value === null ? "–"
    : `${percentOr(r)} (${r.low === null ? "no interval" : `${range(r)}`})`);
  const percentOr = (r) => (r.score === "ccc" ? `CCC ${fixed(r.value)}` : percent(r.value, 1));
  const range = (r) => (r.score === "ccc" ? `${fixed(r.low)} to ${fixed(r.high)}`
    : `${(100 * r.low).toFixed(1)} to ${(100 * r.high).toFixed(1)}`);
  const rows = runs.map((r) => {
    if (r.problem) return [r.name, element("span", { class: "fail" }, r.problem), "", "", "", ""];
    const button = element("button", { class: "entry", "aria-pressed": "false", onclick: () => open(r) },
      r.title || r.name);
    buttons.set(r.id, button);
    return [button, r.corpus, r.best, score(r), lintChip(lab, r.lint), r.created.slice(0, 10)];
  });
  const holder = element("section", { class: "card stored" }, table(lab, "Stored comparisons", [
    { name: "run" }, { name: "corpus", wrap: true }, { name: "best entry" },
    { name: "UAR (95 % over speakers)" }, { name: "lint" }, { name: "made" }], rows));
  return { holder, open };
}

function lintChip(lab, state) {
  const kind = { clean: "chip fine", leak: "chip warn" }[state] ?? "chip";
  return lab.element("span", { class: kind }, state);
}

// --- one run -------------------------------------------------------------------------------------

function oneRun(lab, run, about, address) {
  const { element } = lab;
  const body = element("div", { class: "view" });
  const show = (key) => {
    const protocol = about.protocols.find((p) => p.key === key);
    body.replaceChildren(...underProtocol(lab, run, about, protocol));
  };
  const protocols = choose(lab, "Protocol", about.protocols.map((p) => p.key),
    about.protocols[0].key, show);
  const head = element("section", { class: "card" },
    element("div", { class: "head" },
      element("h2", {}, about.title || run.name),
      element("a", { href: address, target: "_blank", rel: "noopener" }, "open the report page")),
    element("p", { class: "quiet" }, [
      about.corpus.title ?? about.corpus.name, plural(about.corpus.rows, "clip"),
      plural(about.corpus.speakers, "speaker"), about.corpus.licence, about.created.slice(0, 10),
    ].filter(Boolean).join(" · ")),
    lintWords(lab, about.lint),
    protocols.whole);
  show(about.protocols[0].key);
  return [head, body];
}

function lintWords(lab, lint) {
  const { element } = lab;
  if (!lint.findings.length) return element("p", {}, "Lint: ", lintChip(lab, lint.state));
  return element("details", {},
    element("summary", {}, "Lint: ", lintChip(lab, lint.state), ` ${plural(lint.findings.length, "remark")}`),
    element("ul", {}, lint.findings.map((f) =>
      element("li", {}, element("strong", {}, `${f.severity}: ${f.kind}. `), f.words))));
}

function underProtocol(lab, run, about, protocol) {
  const { element } = lab;
  const board = element("section", { class: "card" },
    element("h2", {}, "Leaderboard"),
    element("div", { class: "marks" }, protocol.marks.map((m) => element("span", { class: "chip warn" }, m))),
    element("p", {}, protocol.words));
  if (about.targets.length) {
    board.append(ratings(lab, protocol), element("p", { class: "quiet" },
      "A run on ratings: the report page has its figures."));
    return [board];
  }
  const entry = element("div", { class: "view" });
  const names = [...new Set(protocol.rows.filter((r) => !r.control).map((r) => r.entry))];
  const buttons = new Map();
  const open = (name) => {
    for (const [n, b] of buttons) b.setAttribute("aria-pressed", String(n === name));
    oneEntry(lab, run, protocol, name, entry).catch(lab.fail);
  };
  board.append(leaderboard(lab, protocol, buttons, open));
  open(names[0]);
  const parts = [board, entry];
  if (names.length > 1) parts.push(versus(lab, run, about, protocol, names));
  return parts;
}

function leaderboard(lab, protocol, buttons, open) {
  const { element } = lab;
  const rows = protocol.rows.map((r) => {
    const better = r.better_than.length ? r.better_than.join(", ") : "–";
    const words = `${percent(r.uar, 1)}`;
    const title = r.uar_low === null ? "no interval: too few speakers"
      : `95 % over speakers: ${(100 * r.uar_low).toFixed(1)} to ${(100 * r.uar_high).toFixed(1)} %`;
    const score = bar(lab, r.uar, words, { low: r.uar_low, high: r.uar_high, mark: r.chance, title,
      colour: r.kind === "deep" ? "--c4" : "--c1" });
    if (r.control) return [`${r.entry}, shuffled labels`, "control", score, range(r), "", "", "", "", ""];
    const button = element("button", { class: "entry", "aria-pressed": "false", onclick: () => open(r.entry) },
      r.entry);
    buttons.set(r.entry, button);
    return [button, r.kind, score, range(r), percent(r.war, 1), percent(r.f1_macro, 1), fixed(r.auc),
      better, r.fit_s === undefined ? "–" : fixed(r.fit_s, 1)];
  });
  return element("div", {}, table(lab, "Scores, best first; choose an entry to see its mistakes", [
    { name: "entry" }, { name: "kind" }, { name: "UAR (dashed: chance)" }, { name: "95 %" },
    { name: "WAR", number: true }, { name: "F1", number: true }, { name: "AUC", number: true },
    { name: "better than", wrap: true, title: "supported by a paired test after Holm's correction for all pairs" },
    { name: "fit s", number: true }], rows),
  element("p", { class: "quiet" }, "“Better than” is said only where a paired test supports it after "
    + "Holm's correction for all pairs. Overlapping intervals do not show that two are equal."));
}

const range = (r) => (r.uar_low === null || r.uar_low === undefined ? "–"
  : `${(100 * r.uar_low).toFixed(1)} to ${(100 * r.uar_high).toFixed(1)}`);

function ratings(lab, protocol) {
  return table(lab, "Scores", [{ name: "entry" }, { name: "target" }, { name: "CCC", number: true },
    { name: "95 %" }], protocol.rows.map((r) => [r.entry, r.target, fixed(r.ccc, 3),
    r.ccc_low === null ? "–" : `${fixed(r.ccc_low)} to ${fixed(r.ccc_high)}`]));
}

// --- one entry: confusion, speakers ---------------------------------------------------------------

const turnEntry = turns();

async function oneEntry(lab, run, protocol, entry, holder) {
  const { element } = lab;
  const stale = turnEntry();
  const asked = { protocol: protocol.key, entry };
  const [counted, speakers] = await Promise.all([
    lab.get(`/api/runs/${run.id}/confusion`, asked), lab.get(`/api/runs/${run.id}/speakers`, asked)]);
  if (stale()) return;
  const clips = element("div", { "aria-live": "off" });
  const pressed = { button: null };
  const list = async (button, caption, wanted) => {
    pressed.button?.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", "true");
    pressed.button = button;
    const made = clipList(lab, caption, [{ name: "clip" }, { name: "speaker" }, { name: "was" },
      { name: "heard as" }, { name: "p", number: true }],
    (r) => [r.file, r.speaker, r.truth, r.prediction, fixed(r.chance)],
    (first) => lab.get(`/api/runs/${run.id}/clips`, { ...asked, ...wanted, first }));
    clips.replaceChildren(made.holder);
    await made.grow(false);
  };
  const seeds = counted.seeds > 1 ? `; every clip counts ${counted.seeds} times, once a seed` : "";
  holder.replaceChildren(element("div", { class: "columns" },
    element("section", { class: "card" },
      element("h2", {}, `What ${entry} confuses`),
      element("p", { class: "quiet" },
        `Rows: what it was; columns: what was said${seeds}. Choose a cell to hear its clips.`),
      matrix(lab, counted, list), clips),
    element("section", { class: "card" },
      element("h2", {}, "Speaker by speaker"),
      element("p", { class: "quiet" }, "The worst first; choose one to hear all of its clips."),
      speakerTable(lab, speakers, list))));
}

function matrix(lab, { labels, counts, recall }, list) {
  const { element } = lab;
  const totals = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const cell = (i, j) => {
    const n = counts[i][j];
    const what = i === j ? `${labels[i]}, heard as such` : `${labels[i]} heard as ${labels[j]}`;
    const button = element("button", {
      class: i === j ? "cell diagonal" : "cell", "aria-pressed": "false", disabled: n === 0,
      "aria-label": `${what}: ${plural(n, "clip")}`, title: `${what}: ${n} of ${totals[i]}`,
      onclick: () => list(button, what, { truth: labels[i], prediction: labels[j] }).catch(lab.fail),
    }, String(n));
    button.style.setProperty("--share", totals[i] ? n / totals[i] : 0);
    return element("td", {}, button);
  };
  return element("div", { class: "scroll" }, element("table", { class: "matrix" },
    element("thead", {}, element("tr", {}, element("td"),
      labels.map((l) => element("th", { scope: "col" }, l)), element("th", { scope: "col" }, "recall"))),
    element("tbody", {}, labels.map((l, i) => element("tr", {},
      element("th", { scope: "row" }, l), labels.map((_, j) => cell(i, j)),
      element("th", { class: "number" }, percent(recall[i])))))));
}

function speakerTable(lab, speakers, list) {
  const { element } = lab;
  const rows = speakers.map((s) => {
    const button = element("button", { class: "entry", "aria-pressed": "false",
      onclick: () => list(button, `speaker ${s.speaker}`, { speaker: s.speaker }).catch(lab.fail) }, s.speaker);
    return [button, String(s.n), bar(lab, s.uar, percent(s.uar))];
  });
  return table(lab, "UAR of each speaker", [{ name: "speaker" }, { name: "clips", number: true },
    { name: "UAR" }], rows);
}

// --- two entries, clip by clip --------------------------------------------------------------------

function versus(lab, run, about, protocol, names) {
  const { element } = lab;
  const kind = (name) => about.entries.find((e) => e.name === name)?.kind;
  const first = names.find((n) => kind(n) === "classical") ?? names[0];
  const second = names.find((n) => kind(n) === "deep" && n !== first) ?? names.find((n) => n !== first);
  const chosen = { a: first, b: second, who: "", truth: "" };
  const body = element("div");
  const turn = turns();
  const draw = async () => {
    const stale = turn();
    const asked = { protocol: protocol.key, ...chosen };
    const found = await lab.get(`/api/runs/${run.id}/versus`, asked);
    if (stale()) return;
    body.replaceChildren(...disagreements(lab, run, protocol, chosen, found, draw));
  };
  const again = () => draw().catch(lab.fail);
  const option = (n) => ({ value: n, text: `${n} (${kind(n) ?? "?"})` });
  const a = choose(lab, "First", names.map(option), chosen.a, (v) => { chosen.a = v; again(); });
  const b = choose(lab, "Second", names.map(option), chosen.b, (v) => { chosen.b = v; again(); });
  again();
  return element("section", { class: "card" }, element("h2", {}, "Two entries, clip by clip"),
    element("div", { class: "row" }, a.whole, b.whole), body);
}

function disagreements(lab, run, protocol, chosen, found, draw) {
  const { element } = lab;
  const words = { both: "both right", first: `only ${chosen.a} right`,
    second: `only ${chosen.b} right`, neither: "both wrong" };
  const again = () => draw().catch(lab.fail);
  const square = element("div", { class: "four" }, Object.entries(words).map(([who, text]) =>
    element("button", { "aria-pressed": String(chosen.who === who),
      onclick: () => { chosen.who = chosen.who === who ? "" : who; again(); } },
    element("strong", {}, String(found.counts[who])), text)));
  const truths = choose(lab, "Emotion", [{ value: "", text: "all" }, ...found.by_truth.map((r) => r.truth)],
    chosen.truth, (v) => { chosen.truth = v; again(); });
  const caption = chosen.who ? words[chosen.who] : "One right, the other wrong";
  const list = clipList(lab, caption, [{ name: "clip" }, { name: "speaker" }, { name: "was" },
    { name: chosen.a }, { name: chosen.b }],
  (r) => [r.file, r.speaker, r.truth, `${r.first} ${fixed(r.first_p)}`, `${r.second} ${fixed(r.second_p)}`],
  async (begin) => (begin ? lab.get(`/api/runs/${run.id}/versus`,
    { protocol: protocol.key, ...chosen, first: begin }) : found));
  list.grow(false).catch(lab.fail);
  return [element("p", {}, pairWords(protocol, chosen)), square,
    found.unpaired ? element("p", { class: "quiet" },
      `${plural(found.unpaired, "prediction")} of one of them only are left out.`) : null,
    element("div", { class: "columns" },
      table(lab, "By emotion", [{ name: "emotion" }, { name: `only ${chosen.a}`, number: true },
        { name: `only ${chosen.b}`, number: true }, { name: "both", number: true },
        { name: "neither", number: true }], found.by_truth.map((r) =>
        [r.truth, String(r.first), String(r.second), String(r.both), String(r.neither)])),
      element("div", {}, truths.whole, list.holder))].filter(Boolean);
}

function pairWords(protocol, { a, b }) {
  if (a === b) return "The same entry twice.";
  const pair = protocol.pairs.find((p) => (p.a === a && p.b === b) || (p.a === b && p.b === a));
  if (!pair) return "These two were not tested on the same clips.";
  const sign = pair.a === a ? 1 : -1;
  const ends = [sign * pair.low, sign * pair.high].sort((x, y) => x - y);
  const interval = pair.low === null ? "no interval" : `95 % ${points(ends[0])} to ${points(ends[1])}`;
  const p = pair.p_holm === null ? "" : `, p ${pair.p_holm < 0.001 ? "< 0.001" : `= ${pair.p_holm.toFixed(3)}`} after Holm`;
  const winner = sign * pair.difference > 0 ? a : b;
  const verdict = pair.better ? `${winner} is better.` : "Neither is shown to be better.";
  return `UAR of ${a} minus ${b}: ${points(sign * pair.difference)} points (${interval}${p}). ${verdict}`;
}
