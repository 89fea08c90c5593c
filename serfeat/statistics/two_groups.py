"""Two groups of speakers: how far apart they are, and how far that may be chance.

Conventions
-----------
The unit that is drawn is the speaker. Where the groups are other people (women and men), speakers
are drawn within each group and the interval is Welch's t [1]; p comes from dealing the speakers to
the groups anew. Where the same people are in both (two languages), people are drawn with all that
they say, and p comes from exchanging the sides of those who have both. The observed deal is one of
the deals, so that p is never 0 [2]. A group of one speaker has neither.

Contents
--------
`TwoGroups` : counts of two groups; `TwoGroups.gap` compares them by any score.
`share_of`  : share of the simulations that are as extreme.

Sources
-------
[1] B. L. Welch, "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34, 1947.
[2] B. Phipson, G. K. Smyth, "Permutation p-values should never be zero: calculating exact p-values
    when permutations are randomly drawn", Stat. Appl. Genet. Mol. Biol. 9, 2010.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from serfeat.metrics import speaker_key
from serfeat.stats import drawn_sums, speaker_counts, standard_error
from serfeat.types import Bools, Floats

__all__ = ["Score", "TwoGroups", "share_of"]

NAN = float("nan")
# (..., C, C) counts -> (...) score
Score = Callable[[Floats], Floats]


@dataclass(frozen=True)
class TwoGroups:
    """What two groups of speakers were recognised as.

    Parameters
    ----------
    counts : (G, 2, C, C) confusions of each speaker as a member of either group, of the classes
        that both groups have.
    member : (G, 2) who is in which group.
    """

    counts: Floats
    member: Bools

    @classmethod
    def of(cls, first: pd.DataFrame, second: pd.DataFrame, *, labels: Sequence[str]) -> TwoGroups:
        """Count the predictions of two groups.

        Parameters
        ----------
        first, second : rows of corpus, speaker, truth, prediction.
        labels : (C,) all classes.
        """
        both = pd.concat([first, second], ignore_index=True)
        # One name per person in both groups, also where only one of them has several corpora.
        both = both.assign(speaker=speaker_key(both), corpus="")
        names = sorted(set(both["speaker"]))
        counts = np.zeros((len(names), 2, len(labels), len(labels)))
        for side, rows in enumerate((both[: len(first)], both[len(first) :])):
            own, own_counts = speaker_counts(rows, labels=labels)
            counts[[names.index(s) for s in own], side] = own_counts
        member = counts.sum(axis=(2, 3)) > 0
        present = counts.sum(axis=(0, 3)) > 0  # (2, C)
        counts[:, :, ~present.all(axis=0)] = 0.0
        return cls(counts, member)

    @property
    def shared(self) -> Bools:
        """(G,) who is in both groups."""
        return np.asarray(self.member.all(axis=1))

    def gap(self, score: Score, *, n: int = 1000, seed: int = 0) -> dict[str, Any]:
        """Compare the groups.

        Parameters
        ----------
        score : of summed counts.
        n, seed : replicates, permutations, and the seed of both.

        Returns
        -------
        gap (first minus second), gap_low, gap_high (95 %), p (two-sided), classes (that both
        have), speakers_first, speakers_second, shared_speakers.
        """

        def gap(sums: Floats) -> Floats:
            s = score(sums)  # (..., 2)
            return np.asarray(s[..., 0] - s[..., 1])

        total = self.counts.sum(axis=0)
        value = float(gap(total))
        low, high = _interval(self, score, gap, value, n, seed)
        return {
            "gap": value,
            "gap_low": low,
            "gap_high": high,
            "p": _permuted(self, gap, value, n, seed),
            "classes": int((total.sum(axis=2) > 0).all(axis=0).sum()),
            "speakers_first": int(self.member[:, 0].sum()),
            "speakers_second": int(self.member[:, 1].sum()),
            "shared_speakers": int(self.shared.sum()),
        }


def _interval(
    pair: TwoGroups, score: Score, gap: Score, value: float, n: int, seed: int
) -> tuple[float, float]:
    """95 %: people drawn with both their sides, or within each group (Welch)."""
    if pair.shared.any():
        size = len(pair.counts)
        error = standard_error(gap(drawn_sums(pair.counts, n=n, seed=seed)), size)
        freedom = float(size - 1)
    else:
        sizes, errors = [], []
        for side in (0, 1):
            own = pair.counts[pair.member[:, side], side]
            drawn = drawn_sums(own, n=n, seed=seed) if len(own) else own
            sizes.append(len(own))
            errors.append(standard_error(score(drawn), len(own)))
        error = float(np.hypot(errors[0], errors[1]))
        parts = [e**4 / (k - 1) if k > 1 else NAN for e, k in zip(errors, sizes, strict=True)]
        freedom = error**4 / sum(parts) if error > 0 else NAN
    if not (np.isfinite(value) and error > 0):
        return NAN, NAN
    reach = float(stdtrit(freedom, 0.975)) * error
    return max(value - reach, -1.0), min(value + reach, 1.0)


def _permuted(pair: TwoGroups, gap: Score, value: float, n: int, seed: int) -> float:
    """Two-sided p: speakers are dealt to the groups anew, or exchange their sides."""
    rng = np.random.default_rng(seed)
    shared = pair.shared
    if not np.isfinite(value) or min(pair.member.sum(axis=0)) < 2:
        return NAN
    size = len(pair.counts)
    if shared.any():
        if shared.sum() < 2:
            return NAN
        turned = rng.integers(2, size=(n, size)).astype(bool) & shared
        weight = np.where(turned[..., None], [0.0, 1.0], [1.0, 0.0])  # keep, exchange
        straight, crossed = pair.counts, pair.counts[:, ::-1]
        sums = np.einsum("nsk,sk...->n...", weight, np.stack([straight, crossed], axis=1))
    else:
        own = pair.counts.sum(axis=1)  # (G, C, C): everybody is on one side
        order = rng.permuted(np.tile(pair.member[:, 0], (n, 1)), axis=1).astype(np.float64)
        flat = own.reshape(size, -1)
        sums = np.stack([order @ flat, (1 - order) @ flat], axis=1).reshape(n, 2, *own.shape[1:])
    drawn = gap(sums)
    extreme = np.abs(drawn[np.isfinite(drawn)]) >= abs(value) - 1e-12
    return share_of(extreme)


def share_of(hit: Bools) -> float:
    """Share of the simulations, with what was observed as one of them: never 0."""
    return float((1 + np.count_nonzero(hit)) / (1 + len(hit)))
