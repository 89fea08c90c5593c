"""Runs that predict ratings (valence, arousal, dominance): scores, scatter, speakers."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError
from serfeat.report import figures
from serfeat.report.blocks import Block, Bullets, Part, Picture, Section, Table, Words
from serfeat.report.numbers import decimals, p_value, visible
from serfeat.report.run import Run
from serfeat.report.sections.scores import part_of
from serfeat.report.tables import normalisation_words
from serfeat.report.words import title_of

__all__ = ["ratings_section", "ratings_tables", "scatter_section", "speakers_section", "verdict"]

DOTS, PICTURES = 400, 12  # of a scatter; of them on the page


def verdict(run: Run) -> list[str]:
    """The best entry of every dimension, in words."""
    key = run.main["key"]
    where = "held-out speakers" if run.main["speaker_independent"] else "KNOWN speakers"
    out = []
    for target in run.targets:
        board = _board(run, key, target)
        if board.empty or board["ccc"].isna().all():
            out.append(f"{visible(target)}: no entry has a score.")
            continue
        first = board.iloc[0]
        text = (
            f"{visible(target).capitalize()}, on {where}: {visible(first['entry'])} reaches a CCC "
            f"of {decimals(first['ccc'])} {_ends(first, 'ccc')} (guessing the mean: 0)"
        )
        if run.transductive(str(first["entry"])):
            text += ", normalised with the test speakers' own unlabelled audio"
        if first["rmse"] >= first["truth_sd"]:
            text += "; its error is no smaller than that of always saying the mean"
        out.append(text + ".")
    return out


def _board(run: Run, key: str, target: str) -> pd.DataFrame:
    scored = run.scored(key)
    return scored[scored["target"] == target]


def _ends(row: Any, score: str) -> str:
    low, high = row[f"{score}_low"], row[f"{score}_high"]
    known = np.isfinite(low) and np.isfinite(high)
    return f"[{decimals(low)}, {decimals(high)}]" if known else "[not defined]"


def ratings_section(run: Run) -> Section:
    """CCC, PCC and errors of every entry on every dimension."""
    parts: list[Block] = []
    for protocol in run.protocols:
        key = protocol["key"]
        blocks: list[Block] = [_scores_table(run, key, t) for t in run.targets]
        pairs = _pairs_table(run, key)
        if pairs.rows:
            title = f"Entries against each other, {title_of(key)}"
            blocks.append(Part(title, [pairs], columns="folded"))
        parts.append(part_of(protocol, [*blocks, Bullets(_caveats(run, key))]))
    return Section("scores", "Scores", parts, folded=False)


def ratings_tables(run: Run) -> list[Table]:
    """The leaderboard of every protocol and dimension."""
    return [_scores_table(run, p["key"], t) for p in run.protocols for t in run.targets]


def _scores_table(run: Run, key: str, target: str) -> Table:
    rows = []
    control = run.scored(key, control=True)
    both = pd.concat([_board(run, key, target), control[control["target"] == target]])
    for r in both.to_dict("records"):
        entry, shuffled = str(r["entry"]), bool(r["control"])
        rows.append(
            (
                visible(entry) + (", random labels (control)" if shuffled else ""),
                decimals(r["ccc"]),
                _ends(r, "ccc"),
                normalisation_words(run, entry),
                f"{decimals(r['ccc_folds_mean'])} ± {decimals(r['ccc_folds_sd'])}",
                decimals(r["pcc"]),
                decimals(r["rmse"]),
                _ends(r, "rmse"),
                decimals(r["mae"]),
                "control" if shuffled else run.kind(entry),
                str(r["n"]),
                str(r["seeds"]),
            )
        )
    sd = decimals(both["truth_sd"].iloc[0]) if len(both) else "–"
    caption = (
        f"{visible(target).capitalize()}, {title_of(key)}. Always saying the mean: CCC 0, RMSE "
        f"{sd}. CCC is pooled over the folds."
    )
    head = ("Entry", "CCC", "95 % interval", "Normalisation", "Mean of folds ± sd", "PCC", "RMSE")
    more = ("95 % interval of RMSE", "MAE", "Kind", "Clips", "Seeds")
    return Table(caption, (*head, *more), rows, frozenset({0, 3, 9}), run.marks(key))


def _pairs_table(run: Run, key: str) -> Table:
    """Every pair of entries on every dimension, corrected for all of them."""
    from scipy.stats import t as student

    from serfeat.statistics.dimensions import dimension_difference
    from serfeat.statistics.paired_tests import holm
    from serfeat.stats import student_p

    found = []
    for target in run.targets:
        names = [str(e) for e in _board(run, key, target)["entry"]]
        for a, b in combinations(names, 2):
            try:
                d = dimension_difference(run.predictions, a, b, key, target=target)
            except ManifestError:
                continue
            # The interval is the difference plus and minus t times its error: p is of the same t.
            reach = (d.high - d.low) / 2
            freedom = max(d.groups - 1, 1)
            p = student_p(d.difference, reach / float(student.ppf(0.975, freedom)), freedom)
            found.append((target, a, b, d, p))
    adjusted: Any = holm([p for *_, p in found]) if found else []
    rows = [
        (
            visible(a),
            visible(b),
            visible(target),
            f"{d.difference:+.3f}".replace("-", "−"),
            f"[{decimals(d.low)}, {decimals(d.high)}]",
            "yes" if p_holm < 0.05 and d.difference > 0 else "no",
            p_value(float(p_holm)),
        )
        for (target, a, b, d, _), p_holm in zip(found, adjusted, strict=True)
    ]
    head = ("Entry", "Other entry", "Dimension", "CCC ahead by", "95 % interval", "Better")
    caption = (
        f"Every pair of entries on the same clips, {title_of(key)}; “better” after Holm’s "
        "correction for all rows."
    )
    return Table(caption, (*head, "p after Holm"), rows, frozenset({0, 1, 2, 5}), run.marks(key))


def _caveats(run: Run, key: str) -> list[str]:
    scored = run.scored(key)
    speakers, k = int(scored["speakers"].max()), int(scored["entry"].nunique())
    if run.dependent(key):
        out = ["The models knew the voices: these scores say nothing about new speakers."]
    else:
        out = [f"The intervals say how far a score may move with {speakers} other speakers."]
    if k > 1:
        out.append(f"The highest of {k} scores was found on these very clips: a little too high.")
    if scored["folds_undefined"].max() > 0:
        out.append(
            "Some folds have too few ratings, or equal ones, for a CCC of their own; the pooled "
            "CCC has them all."
        )
    return out


def scatter_section(run: Run) -> Section:
    """Truth against prediction of every entry on every dimension, main protocol."""
    key, pictures = run.main["key"], []
    for t, target in enumerate(run.targets):
        for i, entry in enumerate(_board(run, key, target)["entry"]):
            pictures.append(_scatter(run, key, target, str(entry), f"scatter{t}-{i}"))
    some = len(pictures) - PICTURES
    words = "Each dot is a clip; on the dashed line truth and prediction are equal."
    if some > 0:
        words += f" {some} more drawings are left out."
    grid = part_of(run.main, pictures[:PICTURES], columns="grid")
    return Section("scatter", "Truth against prediction", [Words(words), grid], short="Scatter")


def _scatter(run: Run, key: str, target: str, entry: str, name: str) -> Picture:
    rows = run.rows(key, entry)
    rows = rows[(rows["target"] == target).to_numpy()].dropna(subset=["truth"])
    x, y = (rows[c].to_numpy(dtype=np.float64) for c in ("truth", "prediction"))
    thin = slice(None, None, -(-len(x) // DOTS) or 1)
    some = f" ({len(x[thin])} of {len(x)} clips)" if len(x[thin]) < len(x) else ""
    caption = (
        f"{visible(entry)}, {visible(target)}, {title_of(key)}: prediction against truth{some}, "
        f"CCC {decimals(metrics.ccc(x, y))}."
    )
    marks = run.marks(key)
    alt = f"{caption} Predictions from {decimals(y.min())} to {decimals(y.max())}, truths from "
    alt += f"{decimals(x.min())} to {decimals(x.max())}."
    svg = figures.scatter(x[thin], y[thin], what=target, name=name, alt=alt, marks=marks)
    quarters = np.quantile(x, [0, 0.25, 0.5, 0.75, 1])
    cells = []
    for low, high in pairwise(quarters):
        here = (x >= low) & (x <= high)
        if here.any():
            span = f"{decimals(float(low))} to {decimals(float(high))}"
            cells.append((span, decimals(float(y[here].mean())), str(int(here.sum()))))
    table = Table(f"Mean prediction by quarter of the truth. {caption}",
                  ("Truth", "Mean prediction", "Clips"), cells, marks=marks)  # fmt: skip
    return Picture(svg, caption, marks, table)


def speakers_section(run: Run) -> Section:
    """CCC of every entry on every speaker."""
    parts: list[Block] = []
    keyed = run.predictions.assign(speaker=metrics.speaker_key(run.predictions))
    keyed = keyed[~keyed["control"].astype(bool).to_numpy()].dropna(subset=["truth"])
    for protocol in run.protocols:
        key, tables = protocol["key"], []
        for target in run.targets:
            mine = keyed[(keyed["protocol"] == key) & (keyed["target"] == target)]
            entries = [str(e) for e in _board(run, key, target)["entry"]]
            tables.append(_speakers_table(run, mine, entries, key, target))
        parts.append(part_of(protocol, tables))
    words = "An average hides for whom it fails; with few clips a CCC is very uncertain."
    return Section("speakers", "Speaker by speaker", [Words(words), *parts], short="Speakers")


def _speakers_table(
    run: Run, rows: pd.DataFrame, entries: list[str], key: str, target: str
) -> Table:
    cells, shades = [], []
    for speaker, part in rows.groupby("speaker", sort=True):
        each = [part[part["entry"] == e] for e in entries]
        values = [metrics.ccc(o["truth"], o["prediction"]) for o in each]
        clips = max(len(o) // max(o["seed"].nunique(), 1) for o in each)
        cells.append((visible(speaker), str(clips), *map(decimals, values)))
        shades.append([np.nan, np.nan, *values])
    caption = f"CCC per speaker, {visible(target)}, {title_of(key)}."
    head = ("Speaker", "Clips", *map(visible, entries))
    return Table(caption, head, cells, marks=run.marks(key), shade=np.array(shades))
