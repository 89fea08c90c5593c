"""Lint of a comparison: known ways to a score that cannot be believed, looked for one by one.

The table `LINTS` names each kind, how grave it is, what it looks for, why it matters and what to do
about it. A check is a pure function of `Evidence` (rows, folds, feature tables, entries, and what a
stored run adds), so that every kind can be planted in a test. What a table or a run does not show
cannot be found: a clean lint says that none of these faults left its trace, not that there is none.

Severities
----------
leak : the scores cannot be believed; a run with one is not clean.
warning : the scores may mislead.
note : a reader should know; nothing is wrong.

Contents
--------
`LINTS` `lint` : the checks; all of them applied.
`evidence_of_comparison` : what they look at, from a plan and its folds.
`gravest_first` : findings in order.
`clean`, `as_text`, `as_json` : the findings in one word, for a terminal, for a program.
`UNSEEN` `unseen` : what could not be looked at, and the warning that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from serfeat.errors import did_you_mean, printable
from serfeat.lint.evidence import (
    Check,
    Contender,
    Division,
    Evidence,
    Finding,
    Severity,
    Sides,
)
from serfeat.lint.gathered import evidence_of_comparison
from serfeat.lint.kinds import LINTS

__all__ = [
    "LINTS",
    "UNSEEN",
    "Check",
    "Contender",
    "Division",
    "Evidence",
    "Finding",
    "Severity",
    "Sides",
    "as_json",
    "as_text",
    "clean",
    "evidence_of_comparison",
    "gravest_first",
    "lint",
    "unseen",
]

_ORDER: tuple[str, ...] = get_args(Severity)  # the gravest first

# Warning -> the kinds that nobody looked for: it stands among the findings, so that a clean lint
# does not speak of what was not there to be seen.
UNSEEN: dict[str, frozenset[str]] = {
    "features-unseen": frozenset(
        kind
        for kind, check in LINTS.items()
        if check.function.__module__.rsplit(".", 1)[-1] in ("tables", "codes")
    ),
    "audio-unseen": frozenset({"identical-audio", "near-identical-audio", "duplicates-in-test"}),
}
_UNSEEN_WORDS = {
    "features-unseen": "the features were not looked at; lint the recipe, or run the comparison "
    "again",
    "audio-unseen": "the recordings were not listened to: the same clip under two names, or nearly "
    "the same, would not be found; lint or run without --no-listen",
}


def lint(evidence: Evidence, *, kinds: Iterable[str] | None = None) -> list[Finding]:
    """Look for every known fault.

    Parameters
    ----------
    kinds : keys of `LINTS`; default: all.

    Returns
    -------
    Leaks first, then warnings, then notes; within these in the order of `LINTS`.

    Raises
    ------
    UnknownNameError : an unknown kind.
    """
    wanted = list(LINTS if kinds is None else kinds)
    for kind in wanted:
        if kind not in LINTS:
            raise did_you_mean("lint", kind, LINTS)
    found = [f for kind in wanted for f in _findings(LINTS[kind], evidence)]
    return gravest_first(found)


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Leaks, then warnings, then notes, each in the order that they came in."""
    return sorted(findings, key=lambda f: _ORDER.index(f.severity))


def _findings(check: Check, evidence: Evidence) -> list[Finding]:
    return [
        Finding(
            check.kind,
            trace.severity or check.severity,
            trace.where,
            f"{trace.found}: {check.why}; {check.fix}",
        )
        for trace in check.function(evidence)
    ]


def unseen(kind: str, where: str) -> Finding:
    """The warning that some kinds were not looked for; `kind` is a key of `UNSEEN`."""
    return Finding(kind, "warning", where, _UNSEEN_WORDS[kind])


def _looked_for(findings: Iterable[Finding]) -> list[str]:
    """The kinds that were looked for."""
    left = frozenset().union(*(UNSEEN.get(f.kind, frozenset()) for f in findings))
    return [kind for kind in LINTS if kind not in left]


def clean(findings: Iterable[Finding]) -> bool:
    """Whether there is no leak."""
    return all(f.severity != "leak" for f in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as ``lint.json`` holds them: clean, findings, checked."""
    return {
        "clean": clean(findings),
        "findings": [
            {"kind": f.kind, "severity": f.severity, "where": f.where, "words": f.words}
            for f in findings
        ],
        "checked": _looked_for(findings),
    }


def as_text(findings: Sequence[Finding]) -> list[str]:
    """One line per finding, and the verdict."""
    lines = [printable(f"{f.severity}: {f.kind}: {f.where}: {f.words}") for f in findings]
    counts = [sum(f.severity == s for f in findings) for s in _ORDER]
    leaks, warnings, notes = counts
    verdict = "clean" if not leaks else "NOT CLEAN"
    lines.append(
        f"{verdict}: {leaks} leaks, {warnings} warnings, {notes} notes; "
        f"{len(_looked_for(findings))} kinds looked for"
    )
    return lines
