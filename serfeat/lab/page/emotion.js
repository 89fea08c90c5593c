// The Emotion view: what trained models say of the current sound, and how far to believe it.

import {
  COLOURS, bar, choose, diverging, fixed, legend, meter, percent, plural, styles, turns, waiting,
  watch,
} from "./parts.js";
import { extent, plot } from "./plot.js";

const TENTH = 0.1; // of probability: a bar is never longer for less
const HARDLY = 0.02;
const LONGEST = 30; // s that are asked about at first; the server allows 60

export async function mount(panel, lab) {
  styles();
  const { element } = lab;
  const state = { start: 0, end: null, window: 1, step: 0.25, models: [] };
  const asked = element("section", { class: "card" });
  const models = element("div", { class: "models" });
  const more = element("section", { class: "card" });
  panel.replaceChildren(element("div", { class: "view" }, asked, models, more));
  const turn = turns();

  async function read() {
    const found = await lab.get("/api/emotion/models");
    state.models = found.models;
    more.replaceChildren(...howToTrain(lab, found, read));
    await ask();
  }

  async function ask() {
    const stale = turn();
    asked.replaceChildren(...question(lab, state, () => ask().catch(lab.fail)));
    if (!lab.sound || !state.models.length) {
      models.replaceChildren(...state.models.map((m) => element("section", { class: "card" }, ...card(lab, m))));
      return;
    }
    const boxes = state.models.map((m) => {
      const answer = element("div", {}, m.problem ? "" : waiting(lab, "listening"));
      return { m, answer, box: element("section", { class: "card", "aria-label": `model ${m.name}` },
        ...card(lab, m), answer) };
    });
    models.replaceChildren(...boxes.map((b) => b.box));
    lab.say(`asking ${plural(state.models.length, "model")} about ${lab.sound.name}`);
    await Promise.all(boxes.filter((b) => !b.m.problem).map((b) => answer(lab, b, state, stale)));
    if (!stale()) lab.say(`${plural(state.models.length, "model")} answered`);
  }

  lab.events.addEventListener("sound", () => {
    state.start = 0;
    state.end = null;
    if (!panel.hidden) ask().catch(lab.fail);
    else state.waiting = true;
  });
  lab.events.addEventListener("tab", (event) => {
    if (event.detail === "emotion" && state.waiting) {
      state.waiting = false;
      ask().catch(lab.fail);
    }
  });
  await read();
}

// --- which part, which window ---------------------------------------------------------------------

function question(lab, state, changed) {
  const { element } = lab;
  if (!lab.sound) {
    return [element("h2", {}, "Which recording?"),
      element("p", {}, "The models speak about the recording that you chose."),
      element("button", { class: "main", onclick: () => lab.open("sound") }, "choose a recording")];
  }
  const total = lab.sound.duration;
  if (total && state.end === null && total > LONGEST) state.end = LONGEST;
  const number = (label, value, step, set, least = 0) => {
    const field = element("input", { type: "number", min: String(least), step: String(step),
      value: value ?? "", onchange: () => {
        set(field.value === "" ? null : Number(field.value));
        changed();
      } });
    return element("label", { class: "field" }, element("span", {}, label), field);
  };
  return [
    element("div", { class: "head" }, element("h2", {}, lab.sound.name),
      element("button", { onclick: () => lab.play(lab.sound.id, state.start, state.end).catch(lab.fail) },
        "▶ play what is asked about")),
    element("div", { class: "row" },
      number("from s", state.start, 0.1, (v) => { state.start = v ?? 0; }),
      number("to s", state.end, 0.1, (v) => { state.end = v; }),
      number("window s", state.window, 0.1, (v) => { state.window = v ?? 1; }, 0.1),
      number("step s", state.step, 0.05, (v) => { state.step = v ?? 0.25; }, 0.02)),
    element("p", { class: "quiet" }, "A model names an emotion for whatever it is given. What it says is the "
      + "emotion that speakers of its training corpus played in recordings most like this one.")];
}

// --- one model ------------------------------------------------------------------------------------

function card(lab, m) {
  const { element } = lab;
  if (m.problem) return [element("h2", {}, m.name), element("p", { class: "fail" }, m.problem)];
  const on = m.trained_on ?? {};
  return [
    element("h2", {}, m.name),
    element("p", { class: "quiet" }, `${m.model} on ${m.features} · trained on ${on.corpus}: `
      + `${plural(on.rows, "clip")} of ${plural(on.speakers, "speaker")} · ${m.licence}`),
    element("div", { class: "marks" },
      m.mark ? element("span", { class: "chip warn" }, m.mark) : null),
    m.dimensions?.length ? null : element("p", { class: "quiet" }, doubtWords(m.doubt))].filter(Boolean);
}

function doubtWords(doubt) {
  if (!doubt) {
    return "It has no record of held-out speakers, so that its probabilities cannot be checked and it hardly "
      + "ever says “unknown”. `serfeat train` makes one for classical models.";
  }
  const right = doubt.answered > 0
    ? `it answered ${percent(doubt.answered)} of ${plural(doubt.clips, "clip")} and was right in `
      + `${percent(doubt.accuracy_answered)} of these` : `it was never sure enough to answer`;
  return `On ${plural(doubt.speakers, "speaker")} that it had not heard, ${right}.`;
}

async function answer(lab, { m, answer: holder }, state, stale) {
  const asked = { sound: lab.sound.id, start: state.start, end: state.end };
  try {
    const found = await lab.get(`/api/emotion/${m.id}/said`, asked);
    if (stale()) return;
    const time = lab.element("div");
    holder.replaceChildren(...(found.values ? numbers(lab, found.values) : said(lab, found)), time);
    const sliding = await lab.get(`/api/emotion/${m.id}/over_time`,
      { ...asked, window: state.window, step: state.step });
    if (!stale()) overTime(lab, time, sliding, m, state);
  } catch (error) {
    if (!stale()) holder.replaceChildren(lab.element("p", { class: "fail" }, error.message));
  }
}

function numbers(lab, values) {
  return [lab.element("dl", { class: "tiles" }, Object.entries(values).map(([name, v]) =>
    lab.element("div", {}, lab.element("dt", {}, name), lab.element("dd", {}, fixed(v)))))];
}

function said(lab, { labels, proba, prediction, judgement, contributions, in_training: trained }) {
  const { element } = lab;
  const top = Math.max(...proba);
  const verdict = judgement.known
    ? element("p", { class: "verdict" }, prediction)
    : element("p", { class: "verdict unknown" }, "unknown");
  // Of a recording unlike all training this is not known; of an unsure answer the reason says it.
  const believed = judgement.calibrated === null || !judgement.known ? null
    : element("p", { class: "quiet" }, `By the clips of held-out speakers, an answer as sure as this one `
      + `(${fixed(top)}) is right with probability ${fixed(judgement.calibrated)}.`);
  const guess = judgement.known ? null : element("ul", { class: "reasons" },
    judgement.reasons.map((r) => element("li", {}, r)),
    element("li", {}, `its best guess would be ${prediction}`));
  const order = labels.map((_, i) => i);
  const bars = element("div", { class: "bars" }, order.flatMap((i) => [
    element("span", { class: labels[i] === prediction && judgement.known ? "name winner" : "name" }, labels[i]),
    bar(lab, proba[i], fixed(proba[i]), { colour: COLOURS[i % COLOURS.length] })]));
  const known = trained ? element("p", { class: "fail" }, "This recording's corpus is what the model was trained "
    + "on: it may know this very clip, and its answer proves nothing.") : null;
  return [verdict, guess, believed, known, bars, drove(lab, contributions, labels, prediction)].filter(Boolean);
}

// --- what drove it --------------------------------------------------------------------------------

function drove(lab, found, labels, prediction) {
  const { element } = lab;
  if (!found) return element("p", { class: "quiet" }, "Its features are one family: nothing to divide.");
  const rows = element("div", { class: "bars" });
  const together = element("p", { hidden: true }, `No family alone moves this probability by ${HARDLY}: `
    + "the others say the same without it.");
  const show = (label) => {
    const column = labels.indexOf(label);
    const values = found.values.map((v) => v[column]);
    const most = Math.max(...values.map(Math.abs));
    const exact = found.unit !== "probability";
    const largest = exact ? most : Math.max(most, TENTH); // hardly anything must look like it
    together.hidden = exact || most >= HARDLY;
    rows.replaceChildren(...found.families.flatMap((name, i) => [
      element("span", { class: "name" }, name),
      diverging(lab, values[i], largest, signed(values[i]))]));
  };
  const menu = choose(lab, "What spoke for", labels, prediction, show);
  show(prediction);
  return element("div", {}, element("h3", {}, "What drove it"), menu.whole, rows, together,
    element("p", { class: "quiet" }, `${found.unit} per family; ${found.method}`));
}

function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return digits === "0.00" ? digits : `${value < 0 ? "−" : "+"}${digits}`;
}

// --- over time ------------------------------------------------------------------------------------

function overTime(lab, holder, found, m, state) {
  const { element } = lab;
  const names = found.labels ?? found.names;
  const rows = found.proba ?? found.values;
  const from = state.start;
  const times = found.times.map((t) => t + from);
  const range = [from, Math.max(from + 0.1, (times.at(-1) ?? from) + found.window / 2)];
  const summary = names.map((n, k) => `${n} ${fixed(Math.min(...rows.map((r) => r[k])))} to `
    + `${fixed(Math.max(...rows.map((r) => r[k])))}`).join(", ");
  const canvas = element("canvas", { class: "time", role: "img",
    "aria-label": `${m.name} over time, ${plural(rows.length, "window")}: ${summary}` });
  const heights = found.proba ? [0, 1] : extent(rows.flat());
  const layers = names.map((_, k) => (rows.length > 1
    ? { kind: "line", x: times, y: rows.map((r) => r[k]), color: COLOURS[k % COLOURS.length], width: 2 }
    : { kind: "points", x: times, y: rows.map((r) => r[k]), color: COLOURS[k % COLOURS.length], radius: 4 }));
  const draws = [() => plot(canvas, { x: { label: "s", range },
    y: { label: found.proba ? "probability" : "value", range: heights }, layers })];
  const parts = [element("h3", {}, `Over time: a window of ${fixed(found.window, 2)} s`),
    legend(lab, names), canvas,
    element("p", { class: "quiet" }, "The model was trained on whole clips; a window is less than it knows, and "
      + "“unknown” is not judged for it.")];
  const looked = Object.entries(found.gates);
  if (looked.length) parts.push(element("h3", {}, "Where the network looked"));
  for (const [name, { times: t, weights }] of looked) {
    const gate = element("canvas", { class: "gate", role: "img",
      "aria-label": `${name}: ${fixed(Math.min(...weights), 3)} to ${fixed(Math.max(...weights), 3)}` });
    const kind = name.split("_")[0];
    const heights = SHARES.includes(kind) ? [0, 1] : extent([0, ...weights]); // 0 is always in sight
    draws.push(() => plot(gate, { x: { range }, y: { range: heights },
      layers: [{ kind: "line", x: t.map((v) => v + from), y: weights, color: "--c4" }] }));
    parts.push(element("p", { class: "quiet" },
      GATES[kind] ? `${name}: ${GATES[kind]}` : name), gate);
  }
  if (looked.length) {
    parts.push(element("p", { class: "quiet" }, "Where it looked is not why it decided."));
  }
  holder.replaceChildren(...parts);
  const draw = () => draws.forEach((d) => d());
  draw();
  new ResizeObserver(() => { if (holder.isConnected) draw(); }).observe(canvas);
  lab.events.addEventListener("theme", draw);
}

const SHARES = ["gate", "mask"]; // between 0 and 1

const GATES = {
  gate: "what a frame lets through, 0 to 1",
  attention: "weights of the frames, with sum 1",
  mask: "what a frame lets through, 0 to 1",
  evidence: "what each frame adds to the score of the winner",
};

// --- how to get a model ---------------------------------------------------------------------------

function howToTrain(lab, found, read) {
  const { element } = lab;
  const progress = meter(lab);
  const follow = async () => {
    const last = await watch(async () => (await lab.get("/api/emotion/models")).example, progress.show);
    if (last.state === "done") {
      lab.say("the example is trained");
      await read();
    }
  };
  const button = element("button", { onclick: async () => {
    button.disabled = true;
    try {
      progress.show(await lab.post("/api/emotion/example"));
      await follow();
    } catch (error) {
      lab.fail(error);
    } finally {
      button.disabled = false;
    }
  } }, "train the example here");
  if (found.example.state === "running") follow().catch(lab.fail);
  progress.show(found.example);
  const title = found.models.length ? "More models" : "No model yet";
  return [element("h2", {}, title),
    element("p", {}, "Train an entry of any recipe on your corpus, and name its folder when you open the lab:"),
    element("pre", { class: "command" }, found.how.join("\n")),
    found.models.some((m) => m.name === "lab-example-model") ? null : element("div", {},
      element("p", {}, "Or try the page with an example: boosted trees on the embedded corpus, about a minute. "
        + "They learn synthetic speech and know nothing about people."), button),
    progress.holder].filter(Boolean);
}
