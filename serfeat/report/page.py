"""The page: its sections in their order, each with its figure, table and words.

Everything made from speaker-dependent folds or synthetic speech says so where it stands, because
tables and figures are copied without their page.

Contents
--------
`render`   : the page as HTML.
`markdown` : the verdict and the score tables, for a repository or a mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.report import figures, tables
from serfeat.report.differences import difference, gaps, held_and_random, shared_entries
from serfeat.report.numbers import interval, percent, quantity, visible
from serfeat.report.run import Run
from serfeat.report.tables import Table
from serfeat.report.words import caveats, confusion_words, control_words, title_of, verdict

__all__ = ["markdown", "render"]


def _picture(svg: str, caption: str, marks: Sequence[str], table: Table | None) -> dict[str, Any]:
    from markupsafe import Markup

    # The only text that is not escaped: figures.py made it, and escapes what it puts in.
    return {"svg": Markup(svg), "caption": caption, "marks": marks, "table": table}


def _gap_section(run: Run) -> dict[str, Any] | None:
    held, random = held_and_random(run)
    if held is None or random is None or not shared_entries(run, held, random):
        return None
    titles = {p: title_of(p).capitalize() for p in (held, random)}
    differences = gaps(run, held, random)
    rows: list[dict[str, Any]] = []
    for entry, _ in differences:
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
        "table": tables.gap_table(run, differences, held, random, titles),
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
    differences = [(e, difference(run, best, e, key)) for e in others]
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
        words = confusion_words(counts, run.labels)
        alt = f"Confusion matrix of {entry}, {title}. {words}"
        name, marks = f"confusion{number}-{i}", run.marks(key)
        svg = figures.confusion(counts, run.labels, name=name, alt=alt, marks=marks)
        caption = f"{visible(entry)}, {title}: counts of truth against prediction."
        table = tables.confusion_table(counts, run.labels, caption, marks)
        out.append(_picture(svg, f"{visible(entry)}, {title}. {words}", marks, table))
    return {"title": title, "protocol": protocol, "figures": out}


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

    held, _ = held_and_random(run)
    main = next(p for p in run.protocols if p["key"] == (held or run.protocols[0]["key"]))
    numbered = list(enumerate(run.protocols))
    controls = control_words(run)
    warnings = [visible(w) for w in run.info.get("warnings", [])]
    warnings += [c["text"] for c in controls if not c["ok"]]
    source = resources.files("serfeat.report").joinpath("template.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["visible"] = visible
    environment.filters["quantity"] = quantity
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
