"""The page: what the numbers say in words, and the sections in their order.

Conventions
-----------
A sentence is computed from the same numbers as the tables; "ahead" is said only if the interval of
the paired difference excludes zero. The held-out-speaker protocol that comes first is the one
that the verdict is about. Everything made from speaker-dependent folds or synthetic speech says so
where it stands, because tables and figures are copied without their page.

Contents
--------
`verdict`  : the opening sentences.
`caveats`  : what the numbers do not say.
`render`   : the page; `markdown` : the score tables for a repository or a mail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError
from serfeat.report import figures, tables
from serfeat.report.tables import DEPENDENT, Run, Table, interval, percent, points, visible
from serfeat.stats import Difference, paired_difference, protocol_gap

__all__ = ["caveats", "markdown", "render", "title_of", "verdict"]

TITLES = {
    "leave_one_speaker_out": "held-out speakers, one at a time",
    "leave_one_session_out": "held-out sessions, one at a time",
    "speaker_kfold": "held-out speakers, {n} folds",
    "random_kfold": "random {n}-fold",
}


def title_of(protocol: str) -> str:
    """A protocol's key in words: "random_kfold(10)" -> "random 10-fold"."""
    match = re.fullmatch(r"(\w+)(?:\((\d+)\))?", protocol)
    if not match or match[1] not in TITLES:
        return visible(protocol.replace("_", " "))
    return TITLES[match[1]].format(n=match[2] or "k")


# --- words -----------------------------------------------------------------------------------


def verdict(run: Run) -> list[str]:
    """The opening sentences: the gap between protocols, then the best entries."""
    held, random = _held_and_random(run)
    sentences = []
    if held is None:
        sentences.append(
            "No protocol with held-out speakers was run: every score on this page was made with "
            "voices that the models had heard, and says nothing about new speakers."
        )
    elif random is not None:
        sentences += _gap_words(run, held, random)
    key = held or run.protocols[0]["key"]
    sentences += _best_words(run, key, "On held-out speakers" if held else "On known speakers")
    return sentences


def _held_and_random(run: Run) -> tuple[str | None, str | None]:
    """The first protocol of either sort."""
    held = [p["key"] for p in run.protocols if p["speaker_independent"]]
    random = [p["key"] for p in run.protocols if not p["speaker_independent"]]
    return next(iter(held), None), next(iter(random), None)


def _gap_words(run: Run, held: str, random: str) -> list[str]:
    entries = _shared(run, held, random)
    if not entries:
        return []
    mean = _or_none(lambda: protocol_gap(run.predictions, entries, random, held, labels=run.labels))
    if not np.isfinite(mean.difference):
        return []
    size = f"{abs(100 * mean.difference):.1f} points"
    verb = "gain" if mean.difference >= 0 else "lose"
    reach = interval(mean.low, mean.high, signed=True)
    each = ", ".join(f"{visible(e)} {points(g.difference)}" for e, g in _gaps(run, held, random))
    doubt = "" if mean.excludes_zero else ", which is not distinguishable from zero"
    sentence = (
        f"Random folds {verb} {size} of UAR {reach} on average over held-out speakers{doubt} "
        f"({each})."
    )
    if mean.low > 0:
        sentence += " The gain is knowing the voice; with new speakers it is lost."
    return [sentence]


def _best_words(run: Run, protocol: str, where: str) -> list[str]:
    board = run.scored(protocol)
    board = board[board["uar"].notna()]
    if board.empty:
        return [f"{where} no entry has a score."]
    kinds = [run.kind(e) for e in board["entry"]]
    first = board.iloc[0]
    rivals = [i for i, kind in enumerate(kinds) if kind != kinds[0]] or list(range(1, len(board)))
    score = f"{percent(first['uar'])} % {interval(first['uar_low'], first['uar_high'])}"
    name, chance = visible(first["entry"]), float(first["chance"])
    text = f"{where} {name} ({kinds[0]}) scores a UAR of {score}"
    if rivals:
        second = board.iloc[rivals[0]]
        other = f"{percent(second['uar'])} % {interval(second['uar_low'], second['uar_high'])}"
        kind = "the best " + kinds[rivals[0]] if kinds[rivals[0]] != kinds[0] else "the second"
        d = _difference(run, str(first["entry"]), str(second["entry"]), protocol)
        gap = f"{points(d.difference).lstrip('+')} points {interval(d.low, d.high, signed=True)}"
        words = "excludes zero" if d.excludes_zero else "is not distinguishable from zero"
        text += (
            f", {kind} entry {visible(second['entry'])} {other}; the difference of {gap} {words}"
        )
    low = float(first["uar_low"])
    at_chance = np.isfinite(low) and low <= chance
    tail = "even the best is not distinguishable from it" if at_chance else ""
    return [f"{text}. Chance is {percent(chance)} %{': ' + tail if tail else ''}."]


def caveats(run: Run, protocol: str) -> list[str]:
    """What the scores of one protocol do not say."""
    board = run.scored(protocol)
    row, k = board.iloc[0], len(board)
    speakers = int(row["speakers"])
    seeds = "one seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    if DEPENDENT in run.marks(protocol):
        first = (
            "The models knew the voices: neither these scores nor their intervals say anything "
            "about new speakers, and they must not stand beside scores of held-out speakers."
        )
    else:
        first = (
            f"The intervals say how far a score may move with {speakers} other speakers recorded "
            "like these. They do not say what happens with another corpus, another microphone or "
            "felt instead of acted emotion."
        )
    out = [f"{first} Each entry was trained with {seeds}."]
    if k > 1:
        out.append(
            f"The highest of {k} scores was found on these very clips, so it is a little too high; "
            "the intervals of differences are not corrected for the number of comparisons."
        )
    if row["folds_incomplete"]:
        out.append(
            f"{row['folds_incomplete']} of {row['folds']} folds have no clip of some emotion; "
            "their UAR is the mean over the emotions that they have. The pooled UAR has them all."
        )
    if row["classes"] < len(run.labels):
        out.append(
            f"Only {row['classes']} of {len(run.labels)} emotions occur in the tested clips; UAR "
            "is the mean over those."
        )
    return out


def _control_words(run: Run) -> list[dict[str, Any]]:
    """One statement per random-label control: does chance lie inside its interval?"""
    out = []
    for row in run.board[run.board["control"]].to_dict("records"):
        inside = row["uar_low"] <= row["chance"] <= row["uar_high"]
        if inside:
            words = "lies inside the interval, as it should"
        elif np.isfinite(row["uar_low"]):
            words = "lies outside: something leaks, or the interval is too narrow"
        else:
            words = "cannot be compared: the interval is not defined"
        text = (
            f"{visible(row['entry'])} with random labels, {title_of(row['protocol'])}: UAR "
            f"{percent(row['uar'])} % {interval(row['uar_low'], row['uar_high'])}; chance, "
            f"{percent(row['chance'])} %, {words}."
        )
        out.append({"ok": inside, "text": text})
    return out


# --- differences that may not exist ----------------------------------------------------------


def _or_none(compute: Callable[[], Difference]) -> Difference:
    """A difference, or NaN where the two were not tested on the same clips."""
    try:
        return compute()
    except ManifestError:
        nan = float("nan")
        return Difference(nan, nan, nan, 0)


def _difference(run: Run, a: str, b: str, protocol: str) -> Difference:
    return _or_none(lambda: paired_difference(run.predictions, a, b, protocol, labels=run.labels))


def _shared(run: Run, held: str, random: str) -> list[str]:
    """Entries that ran under both protocols, best under the first one first."""
    other = set(run.scored(random)["entry"])
    return [e for e in run.scored(held)["entry"] if e in other]


def _gaps(run: Run, held: str, random: str) -> list[tuple[str, Difference]]:
    def one(entry: str) -> Difference:
        return _or_none(
            lambda: protocol_gap(run.predictions, [entry], random, held, labels=run.labels)
        )

    return [(entry, one(entry)) for entry in _shared(run, held, random)]


# --- sections --------------------------------------------------------------------------------


def _picture(svg: str, caption: str, marks: Sequence[str], table: Table | None) -> dict[str, Any]:
    from markupsafe import Markup

    # The only text that is not escaped: figures.py made it, and escapes what it puts in.
    return {"svg": Markup(svg), "caption": caption, "marks": marks, "table": table}


def _gap_section(run: Run) -> dict[str, Any] | None:
    held, random = _held_and_random(run)
    if held is None or random is None or not _shared(run, held, random):
        return None
    titles = {p: title_of(p).capitalize() for p in (held, random)}
    gaps = _gaps(run, held, random)
    rows: list[dict[str, Any]] = []
    for entry, _ in gaps:
        uars = {
            side: float(run.scored(p).set_index("entry")["uar"][entry])
            for side, p in (("held", held), ("random", random))
        }
        rows.append({"entry": entry, **uars})
    alt = "UAR in per cent with held-out speakers and with random folds: " + "; ".join(
        f"{r['entry']} {percent(r['held'])} and {percent(r['random'])}" for r in rows
    )
    marks, chance = run.marks(random), float(run.board["chance"].iloc[0])
    svg = figures.gap(rows, chance=chance, name="gap", alt=alt, marks=marks)
    caption = "Each entry with held-out speakers (dot) and with random folds (triangle)."
    return {
        "figure": _picture(svg, caption, marks, None),
        "table": tables.gap_table(run, gaps, held, random, titles),
    }


def _scores_section(run: Run, protocol: dict[str, Any], number: int) -> dict[str, Any]:
    key, title = protocol["key"], title_of(protocol["key"])
    shown = pd.concat([run.scored(key), run.scored(key, control=True)]).to_dict("records")
    rows = [
        {
            "entry": r["entry"] + (" (control)" if r["control"] else ""),
            "kind": "control" if r["control"] else run.kind(r["entry"]),
            "uar": r["uar"],
            "low": r["uar_low"],
            "high": r["uar_high"],
        }
        for r in shown
    ]
    alt = f"UAR in per cent with 95 % intervals, {title}: " + "; ".join(
        f"{r['entry']} {percent(r['uar'])} {interval(r['low'], r['high'])}" for r in rows
    )
    chance, marks = float(run.board["chance"].iloc[0]), run.marks(key)
    svg = figures.forest(rows, chance=chance, name=f"forest{number}", alt=alt, marks=marks)
    caption = (
        f"UAR and its interval, {title}: classical (dot), deep (square), control (diamond); the "
        "dashed line is chance."
    )
    best = str(shown[0]["entry"])
    others = [str(e) for e in run.scored(key)["entry"][1:]]
    differences = [(e, _difference(run, best, e, key)) for e in others]
    return {
        "title": title,
        "protocol": protocol,
        "table": tables.scores_table(run, key, title),
        "figure": _picture(svg, caption, marks, None),
        "differences": tables.differences_table(run, best, differences, key, title)
        if others
        else None,
        "caveats": caveats(run, key),
    }


def _confusion_section(run: Run, protocol: dict[str, Any], number: int) -> dict[str, Any]:
    key, title, out = protocol["key"], title_of(protocol["key"]), []
    for i, entry in enumerate(run.scored(key)["entry"]):
        rows = run.rows(key, entry)
        counts = metrics.confusion(list(rows["truth"]), list(rows["prediction"]), run.labels)
        words = _confusion_words(counts, run.labels)
        alt = f"Confusion matrix of {entry}, {title}. {words}"
        name, marks = f"confusion{number}-{i}", run.marks(key)
        svg = figures.confusion(counts, run.labels, name=name, alt=alt, marks=marks)
        caption = f"{visible(entry)}, {title}: counts of truth against prediction."
        table = tables.confusion_table(counts, run.labels, caption, marks)
        out.append(_picture(svg, f"{visible(entry)}, {title}. {words}", marks, table))
    return {"title": title, "protocol": protocol, "figures": out}


def _confusion_words(counts: Any, labels: Sequence[str]) -> str:
    """The best and the worst recall, and the most frequent confusion."""
    recall = metrics.recalls_of(counts)
    if np.isnan(recall).all():
        return "No clip."
    best, worst = int(np.nanargmax(recall)), int(np.nanargmin(recall))
    names = [visible(x) for x in labels]
    text = f"Recall from {percent(recall[worst], 0)} % ({names[worst]}) to "
    text += f"{percent(recall[best], 0)} % ({names[best]})"
    wrong = np.array(counts, dtype=np.float64)
    np.fill_diagonal(wrong, 0.0)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    i, j = np.unravel_index(int(np.argmax(wrong / totals)), wrong.shape)
    if wrong[i, j] > 0:
        share = percent(wrong[i, j] / totals[i, 0], 0)
        text += f"; most often mistaken: {names[i]} for {names[j]} ({share} % of {names[i]})"
    return text + "."


def _speakers_section(run: Run, protocol: dict[str, Any], number: int) -> dict[str, Any]:
    key, title = protocol["key"], title_of(protocol["key"])
    each = metrics.per_speaker(run.predictions, labels=run.labels)
    each = each[(each["protocol"] == key) & ~each["control"].astype(bool)]
    entries = [str(e) for e in run.scored(key)["entry"]]
    wide = each.pivot_table(index="speaker", columns="entry", values="uar", dropna=False)[entries]
    wide = wide.sort_index()
    clips = each.groupby("speaker")["n"].max()[wide.index]
    values = wide.to_numpy(dtype=np.float64)
    names, marks = [str(s) for s in wide.index], run.marks(key)
    mean = pd.Series(values.mean(axis=1), index=names)
    words = (
        f"UAR per speaker and entry, {title}, over the emotions that the speaker has. Hardest "
        f"speaker {visible(mean.idxmin())} (mean {percent(mean.min())} %), easiest "
        f"{visible(mean.idxmax())} ({percent(mean.max())} %)."
        if mean.notna().all()
        else f"UAR per speaker and entry, {title}."
    )
    svg = figures.heat_map(values, names, entries, name=f"speakers{number}", alt=words, marks=marks)
    table = tables.speakers_table(values, list(clips), names, entries, title, marks)
    return {"title": title, "protocol": protocol, "figure": _picture(svg, words, marks, table)}


def _training_section(run: Run, protocol: dict[str, Any], number: int) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if run.history.empty:
        return out
    key, marks = protocol["key"], run.marks(protocol["key"])
    for i, entry in enumerate(run.scored(key)["entry"]):
        mine = run.history[(run.history["entry"] == entry) & (run.history["protocol"] == key)]
        if mine.empty:
            continue
        validated = mine["validation_uar"].notna().any()
        column = "validation_uar" if validated else "train_accuracy"
        what = "validation UAR" if validated else "training accuracy"
        lines = [
            (fold, seed, one.sort_values("epoch"))
            for (fold, seed), one in mine.groupby(["fold", "seed"], sort=False)
        ]
        pairs = {
            c: [(o["epoch"].to_numpy(dtype=float), o[c].to_numpy(dtype=float)) for *_, o in lines]
            for c in ("train_loss", column)
        }
        epochs = int(mine["epoch"].max())
        words = (
            f"{visible(entry)}, {title_of(key)}: training loss and {what} over at most {epochs} "
            f"epochs, one line for each of {len(lines)} trainings."
        )
        name = f"curves{number}-{i}"
        svg = figures.curves(
            pairs["train_loss"], pairs[column], score_name=what, name=name, alt=words, marks=marks
        )
        table = tables.training_table(lines, f"The trainings of {visible(entry)}.", marks)
        out.append(_picture(svg, words, marks, table))
    return out


def render(run: Run) -> str:
    """The whole page as HTML; every text that comes from the run is escaped."""
    import jinja2

    held, _ = _held_and_random(run)
    main = next(p for p in run.protocols if p["key"] == (held or run.protocols[0]["key"]))
    numbered = list(enumerate(run.protocols))
    controls = _control_words(run)
    warnings = [visible(w) for w in run.info.get("warnings", [])]
    warnings += [c["text"] for c in controls if not c["ok"]]
    source = resources.files("serfeat.report").joinpath("template.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["visible"] = visible
    environment.filters["quantity"] = tables.quantity
    page = environment.from_string(source).render(
        info=run.info,
        corpus=run.info["corpus"],
        bands=run.marks(),
        verdict=verdict(run),
        warnings=warnings,
        gap=_gap_section(run),
        scores=[_scores_section(run, p, i) for i, p in numbered],
        controls=controls,
        confusions=[_confusion_section(run, p, i) for i, p in numbered],
        speakers=[_speakers_section(run, p, i) for i, p in numbered],
        training=_training_section(run, main, 0),
        costs=tables.costs_table(run, main["key"], title_of(main["key"])),
        entries=tables.entries_table(run),
        counts=tables.counts_table(run),
        failures=tables.failures_table(run),
    )
    return page.lstrip()


def markdown(run: Run) -> str:
    """The verdict and the score tables as Markdown."""
    parts = [tables.scores_table(run, p["key"], title_of(p["key"])) for p in run.protocols]
    return " ".join(verdict(run)) + "\n\n" + tables.as_markdown(parts)
