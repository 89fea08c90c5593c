"""The page: which sections there are, in which order, and how they become HTML.

The verdict, the lint, the protocols in words, the gap and the leaderboards stand open at the top,
so that a reader with a phone has seen what matters before the first fold.

Contents
--------
`render`   : the page as HTML.
`markdown` : the verdict and the score tables, for a repository or a mail.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from serfeat.report import exports, tables
from serfeat.report.blocks import Section, Table
from serfeat.report.numbers import quantity, visible
from serfeat.report.run import Run
from serfeat.report.sections import (
    beyond,
    dimensions,
    errors,
    explained,
    groups,
    inside,
    origin,
    scores,
    tasks,
)
from serfeat.report.words import control_words, title_of, verdict

__all__ = ["markdown", "render"]


def sections_of(run: Run) -> list[Section]:
    """Every section that has something to show, in the order of the page."""
    made = [*(_of_ratings(run) if run.targets else _of_emotions(run)), *_endings(run)]
    return [section for section in made if section.blocks]


def _of_emotions(run: Run) -> list[Section]:
    return [
        scores.gap_section(run),
        scores.scores_section(run),
        scores.control_section(run),
        errors.confusions_section(run),
        errors.speakers_section(run),
        groups.fairness_section(run),
        errors.calibration_section(run),
        beyond.noise_section(run),
        beyond.cross_section(run),
    ]


def _of_ratings(run: Run) -> list[Section]:
    return [
        dimensions.ratings_section(run),
        dimensions.scatter_section(run),
        dimensions.speakers_section(run),
    ]


def _endings(run: Run) -> list[Section]:
    """What every page ends with."""
    return [
        tasks.tasks_section(run),
        explained.importance_section(run),
        explained.looks_section(run),
        inside.tuning_section(run),
        inside.training_section(run),
        inside.costs_section(run),
        origin.method_section(run),
        origin.corpus_section(run),
        origin.again_section(run),
        origin.cite_section(run),
        origin.reading_section(),
    ]


def render(run: Run) -> str:
    """The whole page as HTML; every text that comes from the run is escaped."""
    import jinja2
    from markupsafe import Markup

    warnings = [visible(w) for w in run.info.get("warnings", [])]
    if not run.targets:
        warnings += [c["text"] for c in control_words(run) if not c["ok"]]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["visible"] = visible
    environment.filters["quantity"] = quantity
    # The only text that is not escaped: canvas.py made it, and escapes what it puts in.
    environment.filters["drawing"] = Markup
    numbers = itertools.count(1)
    folder = resources.files("serfeat.report")
    page = environment.from_string(folder.joinpath("template.html").read_text("utf-8")).render(
        info=run.info,
        corpus=run.info["corpus"],
        style=Markup(folder.joinpath("style.css").read_text("utf-8")),
        bands=run.marks(),
        verdict=opening(run),
        warnings=warnings,
        lint=_lint_words(run.lint, run.changed),
        findings=_findings_table(run.lint),
        protocols=[(title_of(p["key"]), p) for p in run.protocols],
        sections=sections_of(run),
        target_kind="Dimensions" if run.targets else "Emotions",
        target_names=", ".join(map(visible, run.targets)) or len(run.labels),
        fresh=lambda: next(numbers),
    )
    return page.lstrip()


def _lint_words(lint: Mapping[str, Any] | None, changed: Sequence[str]) -> tuple[str, str]:
    """("clean" | "absent" | "found", what a reader must know of it)."""
    if changed:
        return "found", (
            f"Changed since the run: {', '.join(changed)}. What the lint found then need not hold "
            "for what is here now; serfeat lint on the folder looks again."
        )
    if lint is None:
        return "absent", (
            "Not linted. Nobody has looked whether test clips reached the training of this run; "
            "serfeat lint does."
        )
    checked = lint.get("checked", [])
    looked = f" {len(checked)} kinds were looked for." if checked else ""
    findings = lint.get("findings", [])
    leaks = sum(f.get("severity") == "leak" for f in findings)
    if lint.get("clean"):
        rest = f" {len(findings)} smaller findings are below." if findings else ""
        return "clean", (
            "Clean: no leak was found. It says that none of the known faults left a trace, not "
            f"that there is none.{rest}{looked}"
        )
    what = "1 leak" if leaks == 1 else f"{leaks} leaks" if leaks else "not clean"
    return "found", f"{what.capitalize()}: these scores cannot be believed.{looked}"


def _findings_table(lint: Mapping[str, Any] | None) -> Table | None:
    findings = (lint or {}).get("findings", [])
    names = ("kind", "severity", "where", "words")
    rows = [tuple(visible(f.get(n, "")) for n in names) for f in findings]
    head = ("Kind", "Severity", "Where", "What")
    caption = "What the lint found."
    return Table(caption, head, rows, frozenset(range(4))) if rows else None


def markdown(run: Run) -> str:
    """The verdict and the score tables as Markdown."""
    return " ".join(opening(run)) + "\n\n" + exports.as_markdown(score_tables(run))


def opening(run: Run) -> list[str]:
    """The sentences that the page begins with."""
    return dimensions.verdict(run) if run.targets else verdict(run)


def score_tables(run: Run) -> list[Table]:
    """The leaderboard of every protocol (and dimension)."""
    if run.targets:
        return dimensions.ratings_tables(run)
    return [tables.scores_table(run, p["key"], title_of(p["key"])) for p in run.protocols]
