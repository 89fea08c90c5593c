"""Which entry is better than which: every pair of a protocol, tested on the same clips.

`compare_entries` makes one row per pair with the difference in UAR, its interval over speakers,
the p of five tests (`TESTS`), each raw and Holm-adjusted over all pairs, and `better`: whether a
report may say "better than".

Seeds are averaged before any test: a clip that 2 of 3 seeds recognise counts two thirds. They say
how much training varies, and are no independent clips, folds or speakers. (McNemar's test then
counts the clips that one entry recognises in more seeds than the other; with one seed that is the
test as published.)

When "better"
-------------
`DECIDING` names the test that decides, after Holm, at .05: Student's t of the difference over its
bootstrap error, speakers drawn whole, the same t as in the interval. `docs/results/statistics.md`
has the simulations behind the choice. In short: among equally good entries it finds a "better" in 4
to 6 % of the corpora (5, 10 and 14 speakers, two entries and six); McNemar's test, which takes
clips of one speaker as independent, in up to 28 % for two entries; sign flips and Wilcoxon are
right too, but cannot speak at all with 5 speakers, nor with 10 speakers and more than 25 pairs,
because their smallest p is ``2 / 2 ** G``; Nadeau and Bengio's correction is so careful with one
fold per speaker (1 % false, and a quarter to a half of the power) that it would hide most of what
there is. Where every speaker shows the same difference there is no error to divide by, and sign
flips decide.

The interval is that of the pair alone; `better` answers for all pairs at once. So an interval may
exclude 0 where `better` is False, which is not a contradiction: among 21 pairs one such interval is
expected where nothing differs.

Contents
--------
`compare_entries` : the predictions of a protocol -> one row per pair.
`Hits` `hits_of` `compare_hits` : the same in two steps, for simulations and other tables.
`TESTS` `DECIDING` : key of each test -> words for a report, and the one that decides.

Sources
-------
See `serfeat.statistics.paired_tests` and `serfeat.stats`. Several corpora:
`serfeat.statistics.rank_tests`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError, did_you_mean
from serfeat.statistics.paired_tests import corrected_t, holm, mcnemar, sign_flip, wilcoxon
from serfeat.stats import difference_of, drawn_sums, standard_error
from serfeat.types import Floats, Ints

__all__ = ["DECIDING", "TESTS", "Hits", "compare_entries", "compare_hits", "hits_of"]

# column p_<key> -> what a reader is told
TESTS: dict[str, str] = {
    "t": "Student's t over speakers with the bootstrap's error (speakers drawn whole)",
    "corrected_t": "t over folds with Nadeau and Bengio's correction for overlapping training sets",
    "permutation": "permutation over speakers: the two entries change names within a speaker",
    "mcnemar": "McNemar's exact test over clips; takes clips of one speaker as independent",
    "wilcoxon": "Wilcoxon's signed ranks of the speakers' differences",
}
DECIDING = "t"


@dataclass(frozen=True)
class Hits:
    """What was recognised under one protocol, seeds averaged.

    Parameters
    ----------
    entries : names, E of them.
    hit : (n, E) share of the seeds that recognised the clip, 0..1.
    truth, speaker, fold, clip : (n,) codes 0, 1, ...; a clip that is tested in two folds has two
        rows.
    ratio : test clips per training clip, mean over folds; NaN if not known.
    """

    entries: tuple[str, ...]
    hit: Floats
    truth: Ints
    speaker: Ints
    fold: Ints
    clip: Ints
    ratio: float = float("nan")


def compare_entries(
    predictions: pd.DataFrame,
    protocol: str,
    *,
    labels: Sequence[str],
    folds: Sequence[Mapping[str, Any]] | None = None,
    condition: str = "clean",
    n: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Compare every pair of entries under one protocol.

    Parameters
    ----------
    predictions : the predictions table (columns: see `serfeat.report`); control rows are left out.
    protocol : its key.
    labels : (C,) all classes.
    folds : of the protocol, each with its row numbers under "train" and "test"; default: every
        clip that a fold does not test was trained on.
    condition : of the test audio, where the table has such a column.
    n, seed : replicates and seed of the bootstrap.
    alpha : chance of any false "better" among all pairs.

    Returns
    -------
    One row per pair, best entries first: a, b (a is the one with the higher UAR), uar_a, uar_b,
    difference (0..1), low, high (95 %, over speakers), speakers, folds, p_<test> and
    p_<test>_holm for every test of `TESTS` (NaN where it does not apply), better. No row with
    fewer than two entries.

    Raises
    ------
    ManifestError : no predictions, or entries that were not tested on the same clips.
    """
    hits = hits_of(predictions, protocol, labels=labels, folds=folds, condition=condition)
    return compare_hits(hits, n=n, seed=seed, alpha=alpha)


# --- from the table to arrays ----------------------------------------------------------------


def hits_of(
    predictions: pd.DataFrame,
    protocol: str,
    *,
    labels: Sequence[str],
    folds: Sequence[Mapping[str, Any]] | None = None,
    condition: str = "clean",
) -> Hits:
    """Gather one protocol's predictions; parameters and errors are those of `compare_entries`."""
    mine = (predictions["protocol"] == protocol) & ~predictions["control"].astype(bool)
    if "condition" in predictions:
        mine &= predictions["condition"] == condition
    rows = predictions[mine.to_numpy()]
    if rows.empty:
        known = [str(p) for p in predictions["protocol"].unique()]
        if protocol not in known:
            raise did_you_mean("protocol", protocol, known)
        raise ManifestError(f"no predictions under {protocol}, {condition}", code="no-rows")
    rows = rows.assign(speaker=metrics.speaker_key(rows), _hit=rows["truth"] == rows["prediction"])
    identity = ["corpus", "file", "start", "end", "speaker", "truth"]
    kinds = dict.fromkeys(["corpus", "file", "speaker", "truth", "fold"], str)
    rows = rows.astype(kinds)  # categories that do not occur must not make cells
    cell = rows.groupby([*identity, "fold"], dropna=False).ngroup().to_numpy()
    entry, names = pd.factorize(rows["entry"].astype(str))
    size = (int(cell.max()) + 1, len(names))
    place = cell * size[1] + entry
    tested = np.bincount(place, minlength=size[0] * size[1]).reshape(size)
    right = np.bincount(place, rows["_hit"].astype(float), size[0] * size[1]).reshape(size)
    if not tested.all():
        lacking = str(names[int(np.argmin(tested.all(axis=0)))])
        raise ManifestError(
            f"{lacking} under {protocol} was tested on {int((tested > 0).sum(axis=0).min())} of "
            f"{size[0]} clips",
            code="rows-differ",
            fix="compare entries on the same rows",
        )
    # One row per cell, in the order of the cells.
    first = rows.iloc[np.unique(cell, return_index=True)[1]]
    fold, fold_names = pd.factorize(first["fold"], sort=True)
    return Hits(
        entries=tuple(str(name) for name in names),
        hit=right / tested,
        truth=metrics.label_codes(list(first["truth"]), labels),
        speaker=np.asarray(pd.factorize(first["speaker"], sort=True)[0], dtype=np.int64),
        fold=np.asarray(fold, dtype=np.int64),
        clip=first.groupby(identity, dropna=False).ngroup().to_numpy(),
        ratio=_ratio(fold, len(fold_names)) if folds is None else _ratio_of(folds),
    )


def _ratio(fold: Ints, size: int) -> float:
    """Test per training clip when every clip that a fold does not test was trained on."""
    tests = np.bincount(fold, minlength=size)
    trains = tests.sum() - tests
    return float(np.mean(tests / trains)) if trains.all() else float("nan")


def _ratio_of(folds: Sequence[Mapping[str, Any]]) -> float:
    return float(np.mean([len(f["test"]) / len(f["train"]) for f in folds]))


# --- the tests -------------------------------------------------------------------------------


def compare_hits(hits: Hits, *, n: int = 1000, seed: int = 0, alpha: float = 0.05) -> pd.DataFrame:
    """Compare every pair of entries; parameters and columns are those of `compare_entries`."""
    by_speaker, by_fold = _counts(hits, hits.speaker), _counts(hits, hits.fold)
    total = by_speaker.sum(axis=0)
    uar = _uar(total)
    replicates = _uar(drawn_sums(by_speaker, n=n, seed=seed))  # (n, E): one draw for all
    # What each speaker adds to the UAR of all; its sum over speakers is that UAR.
    support = total[:, -1:]
    share = np.divide(by_speaker, support, out=np.zeros_like(by_speaker), where=support > 0)
    added = share[..., :-1].sum(axis=1) / max(int((support > 0).sum()), 1)
    of_speaker, of_fold = _uar(by_speaker), _uar(by_fold)
    clips = _per_clip(hits)
    rows = []
    order = np.argsort(-uar, kind="stable")
    for i, j in combinations(order, 2):
        error = standard_error(replicates[:, i] - replicates[:, j], len(by_speaker))
        d = difference_of(float(uar[i] - uar[j]), error, len(by_speaker))
        more = clips[:, i] - clips[:, j]
        ratio = None if np.isnan(hits.ratio) else hits.ratio
        p = {
            "t": d.p,
            "corrected_t": corrected_t(of_fold[:, i] - of_fold[:, j], ratio=ratio),
            "permutation": sign_flip(added[:, i] - added[:, j], seed=seed),
            "mcnemar": mcnemar(int((more > 1e-9).sum()), int((more < -1e-9).sum())),
            "wilcoxon": wilcoxon(of_speaker[:, i] - of_speaker[:, j]),
        }
        rows.append(
            {"a": hits.entries[i], "b": hits.entries[j], "uar_a": uar[i], "uar_b": uar[j]}
            | {"difference": d.difference, "low": d.low, "high": d.high}
            | {"speakers": len(by_speaker), "folds": len(by_fold)}
            | {f"p_{name}": p[name] for name in TESTS}
        )
    return _decided(rows, alpha)


def _decided(rows: Sequence[Mapping[str, Any]], alpha: float) -> pd.DataFrame:
    """Make the table; add the adjusted p and the verdict."""
    names = ["a", "b", "uar_a", "uar_b", "difference", "low", "high", "speakers", "folds"]
    names += [f"p_{name}" for name in TESTS]
    table = {name: np.array([row[name] for row in rows]) for name in names}
    table |= {f"p_{name}_holm": holm(table[f"p_{name}"]) for name in TESTS}
    p = table[f"p_{DECIDING}"].astype(np.float64)
    p = np.where(np.isnan(p), table["p_permutation"], p)
    table["better"] = (holm(p) < alpha) & (table["difference"] > 0)
    return pd.DataFrame(table)


def _counts(hits: Hits, groups: Ints) -> Floats:
    """(G, C, E + 1) clips that each entry recognised, and last how many there were."""
    size, classes = int(groups.max()) + 1, int(hits.truth.max()) + 1
    place = groups * classes + hits.truth
    columns = [*hits.hit.T, np.ones(len(place))]
    counted = [np.bincount(place, column, size * classes) for column in columns]
    return np.stack(counted, axis=-1).reshape(size, classes, -1).astype(np.float64)


def _uar(counts: Floats) -> Floats:
    """(..., E) UAR of (..., C, E + 1) counts, over the classes present."""
    right, support = counts[..., :-1], counts[..., -1:]
    recall = np.divide(right, support, out=np.zeros_like(right), where=support > 0)
    present = (support > 0).sum(axis=-2)
    out: Floats = np.full(present.shape[:-1] + right.shape[-1:], np.nan)
    np.divide(recall.sum(axis=-2), present, out=out, where=present > 0)
    return out


def _per_clip(hits: Hits) -> Floats:
    """(clips, E) how often each clip was recognised, over its folds."""
    return np.stack([np.bincount(hits.clip, column) for column in hits.hit.T], axis=1)
