"""Calibration: does a model that is 80 % sure turn out right in 80 % of the cases?

Conventions
-----------
Probabilities are (n, C), columns in the order of `labels`, rows that sum to 1. The confidence of a
clip is its largest probability, and "right" means that this class is the true one. Everything here
only reports: nothing is recalibrated, which would need clips of further speakers (a temperature
fitted on the clips that are scored makes any model look calibrated).

An expected calibration error (ECE) is never negative, so that chance alone makes it positive: on
500 clips a perfectly calibrated model has some .03. `ece_of_calibrated` says how much, for these
confidences and this number of clips; only what is clearly above it is the model's fault. Brier
score and log loss are proper scores and have no such floor, but mix calibration with accuracy.

Contents
--------
`reliability`       : table of bins: confidence, accuracy, interval; what a reliability plot shows.
`ece`, `mce`        : mean and largest gap between confidence and accuracy over the bins.
`ece_classwise`     : the mean over classes of the gap of that class's probability.
`ece_of_calibrated` : ECE that chance alone would give.
`brier`, `log_loss` : proper scores.
`calibration_scores`, `calibration_board` : all of them; of every entry of a predictions table.

Sources
-------
Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017 (ECE, MCE,
bins of equal width). Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019
(bins of equal mass, every class: SCE). Broecker and Smith, "Increasing the reliability of
reliability diagrams", Weather and Forecasting 22, 2007 (resampling for consistency). Brier,
"Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
Wilson, JASA 22, 1927 (interval of a share).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serfeat import metrics
from serfeat.concordance import ratio
from serfeat.errors import ModelError
from serfeat.stats import bootstrap_over_groups
from serfeat.types import Bools, Floats, Ints

__all__ = [
    "brier",
    "calibration_board",
    "calibration_scores",
    "clip_keys",
    "ece",
    "ece_classwise",
    "ece_of_calibrated",
    "log_loss",
    "mce",
    "reliability",
]

Texts = Sequence[str]
Bins = Literal["width", "mass"]
WILSON_Z = 1.959963984540054  # 97.5 % point of the normal distribution
TOLERANCE = 1e-3  # of a row's sum: probabilities may come from a CSV with 4 digits


def reliability(
    truth: Texts,
    proba: ArrayLike,
    labels: Texts,
    *,
    speakers: Sequence[object] | None = None,
    clips: Sequence[object] | None = None,
    bins: int = 10,
    by: Bins = "width",
    seed: int = 0,
) -> pd.DataFrame:
    """Table of a reliability plot: clips of similar confidence, and how often they are right.

    Parameters
    ----------
    truth : (n,) labels.
    proba : (n, C) probabilities.
    labels : (C,) all classes.
    speakers : (n,); with them the interval resamples speakers, without it is Wilson's, which takes
        clips for independent and is too narrow.
    clips : (n,) which clip a row is about; the same one under several seeds is one trial, not
        several. Default: each row another.
    bins, by : how many; of equal ``"width"`` on 0..1, or of equal ``"mass"`` (clips).
    seed : of the bootstrap.

    Returns
    -------
    One row per bin: low, high (edges: low < confidence <= high), n, confidence (mean), accuracy,
    accuracy_low, accuracy_high (95 %), gap (accuracy - confidence, negative = overconfident). Empty
    bins are there, with NaN. Where every speaker agrees the bootstrap has no width; Wilson stands.
    """
    confidence, right, _ = _top(truth, proba, labels)
    edges, bin_of = _bins(confidence, bins, by)
    n = np.bincount(bin_of, minlength=len(edges) - 1)
    mean = ratio(np.bincount(bin_of, confidence, minlength=len(n)), n)
    accuracy = ratio(np.bincount(bin_of, right, minlength=len(n)), n)
    low, high = _wilson(accuracy, _trials(bin_of, len(n), _clip_codes(clips, len(bin_of))))
    if speakers is not None:
        names = np.asarray([str(s) for s in speakers], dtype=object)
        for b in np.flatnonzero(n):
            mine = bin_of == b
            pair = np.stack([right[mine].astype(np.float64), np.ones(mine.sum())], axis=1)
            ends = bootstrap_over_groups(
                pair, list(names[mine]), statistic=lambda c: ratio(c[..., 0], c[..., 1]), seed=seed
            )
            if np.isfinite(ends).all():
                low[b], high[b] = ends
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": n,
            "confidence": mean,
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "gap": accuracy - mean,
        }
    )


def ece(
    truth: Texts, proba: ArrayLike, labels: Texts, *, bins: int = 10, by: Bins = "width"
) -> float:
    """Expected calibration error ``sum_b n_b / n |accuracy_b - confidence_b|``, 0..1.

    Guo et al. 2017, eq. 3; with ``by="mass"`` the adaptive error of Nixon et al. 2019. NaN without
    a clip or with a probability of NaN.
    """
    confidence, right, _ = _top(truth, proba, labels)
    return _binned_gap(confidence, right, bins, by)


def mce(
    truth: Texts, proba: ArrayLike, labels: Texts, *, bins: int = 10, by: Bins = "width"
) -> float:
    """Largest gap of a bin (Guo et al. 2017, eq. 4), 0..1; a bin of one clip can decide it."""
    confidence, right, _ = _top(truth, proba, labels)
    _, bin_of = _bins(confidence, bins, by)
    gaps = np.bincount(bin_of, right - confidence)
    sizes = np.bincount(bin_of)
    found = np.abs(gaps[sizes > 0] / sizes[sizes > 0])
    return float(found.max()) if len(found) else float("nan")


def ece_classwise(
    truth: Texts, proba: ArrayLike, labels: Texts, *, bins: int = 10, by: Bins = "width"
) -> float:
    """Mean over classes of the ECE of that class's probability against how often it is true.

    SCE of Nixon et al. 2019. It sees what the confidence of the winner alone hides; with many
    classes most probabilities are near 0, so its values are smaller than the ECE's.
    """
    _, _, p = _top(truth, proba, labels)
    code = metrics.label_codes(truth, labels)
    each = [_binned_gap(p[:, c], code == c, bins, by) for c in range(len(labels))]
    return float(np.mean(each))


def ece_of_calibrated(
    proba: ArrayLike,
    *,
    clips: Sequence[object] | None = None,
    bins: int = 10,
    by: Bins = "width",
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """ECE that chance alone gives a calibrated model of these confidences: mean, 95 % quantile.

    Every clip is right with the probability of its own confidence, `draws` times (Broecker and
    Smith 2007). Clips of one speaker go wrong together, so that real chance is larger still.
    `clips` as in `reliability`: one clip under several seeds has one truth, and one draw of it.
    """
    p = np.asarray(proba, dtype=np.float64)
    confidence = p.max(axis=1) if len(p) else np.zeros(0)
    if not len(p) or np.isnan(p).any():
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    clip = _clip_codes(clips, len(p))
    chances = (rng.random(clip.max() + 1)[clip] for _ in range(draws))
    found = [_binned_gap(confidence, chance < confidence, bins, by) for chance in chances]
    return float(np.mean(found)), float(np.quantile(found, 0.95))


def brier(truth: Texts, proba: ArrayLike, labels: Texts) -> float:
    """Brier score of several classes, 0 (sure and right) .. 2 (sure and wrong).

    The mean over clips of ``sum_c (p_c - y_c)^2``, Brier's own definition; for two classes it is
    twice the score that scikit-learn reports by default.
    """
    _, _, p = _top(truth, proba, labels)
    y = np.eye(len(labels))[metrics.label_codes(truth, labels)].reshape(p.shape)
    return float(((p - y) ** 2).sum(axis=1).mean()) if len(p) else float("nan")


def log_loss(truth: Texts, proba: ArrayLike, labels: Texts) -> float:
    """Mean of ``-log p(true class)``, in nats; a probability of 0 counts as 2.2e-16 (36 nats)."""
    _, _, p = _top(truth, proba, labels)
    if not len(p):
        return float("nan")
    given = p[np.arange(len(p)), metrics.label_codes(truth, labels)]
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)).mean())


def calibration_scores(
    truth: Texts,
    proba: ArrayLike,
    labels: Texts,
    *,
    clips: Sequence[object] | None = None,
    bins: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """All scores of one set of predictions; `clips` as in `reliability`.

    Returns
    -------
    n, accuracy, confidence (mean), ece, ece_mass (bins of equal mass), ece_chance, ece_chance_high
    (of `ece_of_calibrated`), ece_classwise, mce, brier, log_loss; NaN where undefined.
    """
    confidence, right, p = _top(truth, proba, labels)
    empty = not len(p)
    chance, chance_high = ece_of_calibrated(p, clips=clips, bins=bins, seed=seed)
    return {
        "n": float(len(p)),
        "accuracy": float("nan") if empty else float(right.mean()),
        "confidence": float("nan") if empty else float(confidence.mean()),
        "ece": ece(truth, p, labels, bins=bins),
        "ece_mass": ece(truth, p, labels, bins=bins, by="mass"),
        "ece_chance": chance,
        "ece_chance_high": chance_high,
        "ece_classwise": ece_classwise(truth, p, labels, bins=bins),
        "mce": mce(truth, p, labels, bins=bins),
        "brier": brier(truth, p, labels),
        "log_loss": log_loss(truth, p, labels),
    }


def calibration_board(
    predictions: pd.DataFrame, *, labels: Texts, bins: int = 10, seed: int = 0
) -> pd.DataFrame:
    """Score the calibration of every entry under every protocol; controls are left out.

    Parameters
    ----------
    predictions : the predictions table (file, start, truth, p_<label>, entry, protocol, control,
        condition).

    Returns
    -------
    One row per protocol x entry (x condition, where there is one), in order of appearance, with the
    `calibration_scores` of all folds and seeds at once (n counts a clip once a seed).
    """
    rows = predictions[~predictions["control"].astype(bool).to_numpy()]
    keys = [k for k in ("protocol", "entry", "condition") if k in rows]
    columns = [f"p_{label}" for label in labels]
    found = []
    for key, part in rows.groupby(keys, sort=False, observed=True):
        proba = part[columns].to_numpy(dtype=np.float64)
        one = calibration_scores(
            list(part["truth"]), proba, labels, clips=clip_keys(part), bins=bins, seed=seed
        )
        found.append(dict(zip(keys, key, strict=True)) | one)
    return pd.DataFrame(found)


def clip_keys(predictions: pd.DataFrame) -> list[tuple[object, ...]] | None:
    """Which clip each prediction is about; None where the table does not say."""
    names = [name for name in ("corpus", "file", "start") if name in predictions]
    if "file" not in names:
        return None
    return list(predictions[names].astype(str).itertuples(index=False, name=None))


def _clip_codes(clips: Sequence[object] | None, n: int) -> Ints:
    """(n,) numbers from 0, the same for the same clip."""
    if clips is None:
        return np.arange(n)
    codes, _ = pd.factorize(pd.Series([str(clip) for clip in clips]), sort=True)
    return np.asarray(codes, dtype=np.int64)


def _trials(bin_of: Ints, bins: int, clip: Ints) -> Ints:
    """(bins,) different clips in each bin."""
    pairs = np.unique(np.stack([bin_of, clip], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=bins)


def _top(truth: Texts, proba: ArrayLike, labels: Texts) -> tuple[Floats, Bools, Floats]:
    """Confidence (n,), whether it was right (n,), and the probabilities (n, C).

    Raises
    ------
    ModelError : another shape, or rows that are no probabilities.
    UnknownNameError : a truth that is none of `labels`.
    """
    p = np.asarray(proba, dtype=np.float64)
    if p.size == 0:
        p = p.reshape(0, len(labels))
    if p.shape != (len(truth), len(labels)):
        raise ModelError(
            f"probabilities of shape {p.shape}, expected {(len(truth), len(labels))}",
            code="length-mismatch",
        )
    sums = p.sum(axis=1)
    bad = np.flatnonzero((np.abs(sums - 1) > TOLERANCE) | (p < 0).any(axis=1))
    if len(bad):
        raise ModelError(
            f"row {bad[0]} is no probabilities: it sums to {sums[bad[0]]:.4g}",
            code="bad-probabilities",
            fix="calibration needs probabilities; scores of another kind have none",
        )
    code = metrics.label_codes(truth, labels)
    winner = p.argmax(axis=1) if len(p) else np.zeros(0, dtype=np.int64)
    confidence = p.max(axis=1) if len(p) else np.zeros(0)
    return confidence, winner == code, p


def _bins(values: Floats, bins: int, by: Bins) -> tuple[Floats, Ints]:
    """Edges (b + 1,) and the bin (n,) of each value: low < value <= high, the first holds its low.

    Bins of equal mass are cut between equal values never: with ties there are fewer of them.
    """
    if bins < 1:
        raise ModelError(f"bins is {bins}, expected 1 or more", code="bad-parameter")
    edges = np.linspace(0.0, 1.0, bins + 1)
    if by == "mass" and len(values) and not np.isnan(values).any():
        shares = np.arange(1, bins) * len(values)  # in whole numbers: .6 * 5 is not 3 in binary
        cuts = np.sort(values)[(shares + bins - 1) // bins - 1]
        edges = np.unique(np.concatenate([[0.0], cuts[cuts < values.max()], [1.0]]))
    place = np.searchsorted(edges, values, side="left") - 1
    return edges, np.clip(place, 0, len(edges) - 2).astype(np.int64)


def _binned_gap(confidence: Floats, right: Bools, bins: int, by: Bins) -> float:
    """Mean over clips of |share that was right - mean confidence| of their bin."""
    if not len(confidence):
        return float("nan")
    _, bin_of = _bins(confidence, bins, by)
    return float(np.abs(np.bincount(bin_of, right - confidence)).sum() / len(confidence))


def _wilson(share: Floats, n: Ints) -> tuple[Floats, Floats]:
    """Wilson's 95 % interval of a share of n independent trials; NaN for none."""
    z2 = WILSON_Z**2
    size = np.where(n > 0, n, np.nan)
    centre = (share + z2 / (2 * size)) / (1 + z2 / size)
    reach = WILSON_Z / (1 + z2 / size) * np.sqrt(share * (1 - share) / size + z2 / (4 * size**2))
    return np.maximum(centre - reach, 0.0), np.minimum(centre + reach, 1.0)
