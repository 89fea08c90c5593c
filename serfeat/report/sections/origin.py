"""Where the numbers come from: method, corpus, versions, licences, how to cite and to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serfeat.report import tables
from serfeat.report.blocks import Block, Bullets, Part, Section, Table, Words
from serfeat.report.numbers import quantity, visible
from serfeat.report.run import Run
from serfeat.report.words import title_of

__all__ = ["again_section", "cite_section", "corpus_section", "method_section", "reading_section"]

INTERVALS = (
    "95 %, over speakers: as many speakers as there are were drawn with replacement, 1000 times; "
    "the standard deviation of the score over these draws, corrected for the number of speakers, "
    "is used with Student’s t on the logit scale. Differences are paired: the same speakers for "
    "both. “Better” is said after Holm’s correction for all pairs of entries of a protocol."
)
READING = (
    ("Recall", "Of the clips of one emotion, the share that was recognised."),
    (
        "UAR",
        "Unweighted average recall: the mean of the recalls of all emotions that occur. Guessing "
        "gives one divided by the number of emotions, however many clips each has. Also called UA "
        "or balanced accuracy. The first number is pooled: computed once from the clips of all "
        "folds (and averaged over seeds).",
    ),
    (
        "WAR",
        "Weighted average recall, which is accuracy: the share of all clips that was recognised. "
        "Frequent emotions count more.",
    ),
    (
        "F1, AUC",
        "F1 is the harmonic mean of precision and recall, averaged over emotions. AUC says how "
        "well the probabilities rank: 0.5 is guessing, 1 is perfect (one emotion against the "
        "rest, averaged).",
    ),
    (
        "Interval",
        "The range in which the score for speakers like these in general probably lies, since only "
        "some were recorded: of intervals made in this way, about 95 in 100 contain it. Two scores "
        "whose intervals overlap may still differ: look at the interval of the difference.",
    ),
    (
        "Better than",
        "A paired test on the same clips puts this entry ahead, and still does after correcting "
        "for the number of pairs that were looked at (Holm). Where no name stands nothing is "
        "shown: neither that one is better nor that they are equal.",
    ),
    (
        "Fold",
        "One part of the clips that is tested by a model trained on all other parts. sd is the "
        "spread between folds.",
    ),
    (
        "Held-out speakers",
        "No clip of a test speaker is in training. This is the question of practice: a new voice.",
    ),
    (
        "Speaker-dependent",
        "Test speakers have other clips in training. Such scores must not be compared with those "
        "of held-out speakers.",
    ),
    (
        "Normalisation",
        "Global: means and spreads come from the training clips. Per speaker: every speaker’s "
        "columns are scaled by the mean and spread of all clips of that speaker, test speakers "
        "included. This uses no label, but it uses the test audio (transductive), it needs many "
        "clips of each new voice, and such scores compare only with others of the same kind.",
    ),
    (
        "Lint",
        "A search for ways in which the test clips could have reached the training. A run that "
        "was not linted, or in which something was found, says so on every table and figure.",
    ),
    (
        "ECE",
        "Expected calibration error: how far stated probabilities are from what comes true, on "
        "average. 0 is honest; a model that says 90 % and is right in 60 % is off by 30 points.",
    ),
    (
        "CCC, PCC, RMSE",
        "For ratings: PCC is the correlation with the truth, CCC the same less what a wrong mean "
        "or spread costs (1 is perfect, 0 is guessing the mean), RMSE the typical error in the "
        "unit of the rating.",
    ),
    ("Points", "Differences of percentages: from 60 % to 70 % is 10 points."),
)


def method_section(run: Run) -> Section:
    """Protocols, normalisation, selection and intervals in words, and the entries."""
    terms = [
        (
            title_of(p["key"]).capitalize()
            + ("" if p["speaker_independent"] else " (speaker-dependent)"),
            f"{visible(p['words'])} ({p['folds']} folds; {visible(p['key'])})",
        )
        for p in run.protocols
    ]
    terms.append(("Normalisation", visible(run.info.get("normalisation", "not recorded"))))
    terms.append(("Selection", visible(run.info.get("selection", "not recorded"))))
    terms.append(("Intervals", INTERVALS))
    return Section(
        "method",
        "How it was done",
        [Bullets(terms=terms), tables.entries_table(run)],
        short="Method",
    )


def corpus_section(run: Run) -> Section:
    """What the clips are, and which could not be used."""
    corpus = run.info["corpus"]
    kind = " (synthetic speech)" if corpus.get("synthetic") else ""
    about = f"{visible(corpus.get('title', ''))}{kind}. {visible(corpus.get('citation', ''))}"
    licence = f"Licence: {visible(corpus.get('licence', 'not stated'))}"
    failures = tables.failures_table(run)
    lost: list[Block] = [failures] if failures.rows else [Words("None.")]
    blocks: list[Block] = [Words(about), Words(licence)]
    if dropped := corpus.get("dropped_labels") or run.info.get("dropped_labels"):
        blocks.append(Words(f"Labels that not every corpus has were left out: {_listed(dropped)}."))
    blocks += [tables.counts_table(run), Part("Clips that could not be used", lost)]
    return Section("corpus", "Corpus", blocks)


def _listed(names: object) -> str:
    """Names as text, whether they come as a list or as {corpus: names}."""
    if isinstance(names, Mapping):
        return "; ".join(f"{visible(k)}: {_listed(v)}" for k, v in names.items())
    if isinstance(names, (list, tuple)):
        return ", ".join(visible(n) for n in names)
    return visible(names)


def again_section(run: Run) -> Section:
    """Command, machine, versions, licences, seeds and digests."""
    info = run.info
    blocks: list[Block] = [
        Words(visible(info.get("command", "not recorded")), code=True),
        Words(_took(info)),
        _provenance_table(run),
        Words(
            "Scores are computed from predictions.parquet beside this page: one row per clip, "
            "entry, protocol, fold and seed. leaderboard.csv has them in full precision, "
            "leaderboard.tex as a table for a paper."
        ),
    ]
    return Section("again", "Run it again", blocks, short="Provenance")


def _took(info: Mapping[str, Any]) -> str:
    machine = info.get("machine", {})
    parts = [
        visible(machine.get("processor", "an unknown processor")),
        f"{machine.get('cores', '?')} cores",
        visible(machine.get("gpu") or "no GPU").replace("none", "no GPU"),
        visible(machine.get("os", "")),
    ]
    seconds = quantity(float(info.get("seconds", float("nan"))))
    return f"It took {seconds} s on {', '.join(p for p in parts if p)}."


def _provenance_table(run: Run) -> Table:
    """Everything that identifies the run, one fact a row."""
    info = run.info
    facts = [
        ("Made", info.get("created", "not recorded")),
        ("Seeds", ", ".join(str(s) for s in info.get("seeds", [])) or "not recorded"),
        ("Corpus licence", info["corpus"].get("licence", "not stated")),
    ]
    licences = dict.fromkeys((e["features"], e.get("licence", "–")) for e in info["entries"])
    facts += [(f"Licence of features {name}", licence) for name, licence in licences]
    digest = info.get("manifest_sha256") or info["corpus"].get("sha256")
    facts.append(("Manifest, SHA-256", digest or "not recorded"))
    facts += [(name, version) for name, version in info.get("versions", {}).items()]
    rows = [(visible(name), visible(value)) for name, value in facts]
    caption = "Provenance: versions, licences, seeds and digests."
    return Table(caption, ("What", "Value"), rows, frozenset({0, 1}), run.marks())


def cite_section(run: Run) -> Section:
    """What to cite, and which words keep a quoted score honest."""
    corpus, best = run.info["corpus"], run.main
    version = run.info.get("versions", {}).get("serfeat", "of unknown version")
    kind = "speaker-independent" if best["speaker_independent"] else "SPEAKER-DEPENDENT"
    items = [
        f"The corpus: {visible(corpus.get('citation') or corpus.get('title', ''))}",
        "The models: see “In words” in the table of entries.",
        f"The comparison: serfeat {visible(version)}.",
        "Beside a score belong its protocol, its normalisation and its interval. For example: "
        f"“UAR, {title_of(best['key'])} ({kind}), 95 % interval over "
        f"{corpus.get('speakers', '?')} speakers”.",
        *(f"And this mark: {mark}." for mark in run.marks(best["key"])),
    ]
    return Section("cite", "How to cite", [Bullets(items)])


def reading_section() -> Section:
    """The words of the page."""
    blocks = [Bullets(terms=READING)]
    return Section("reading", "How to read this page", blocks, short="Glossary")
