"""What a training is told, checked before it begins: settings, labels, speakers, class weights.

Contents
--------
`check_settings`    : parameters that cannot be, or do not fit together.
`as_labels`         : y as an array of classes.
`as_proportions`    : rater votes as shares.
`as_targets`        : dimensions as an array, NaN = missing.
`target_scale`      : their means and standard deviations.
`held_out_speakers` : the speakers whose clips choose the epoch.
`held_out_clips`    : the clips that are not trained on then, and those of them that judge.
`HoldsOut`          : asks for them, for estimators.
`class_weights`     : a weight for each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from serfeat.errors import ModelError
from serfeat.types import Bools, Floats, Ints

__all__ = [
    "SELECTIONS",
    "HoldsOut",
    "Labels",
    "as_labels",
    "as_proportions",
    "as_targets",
    "check_settings",
    "class_weights",
    "held_out_clips",
    "held_out_speakers",
    "target_scale",
]

Labels = NDArray[Any]

SELECTIONS = ("last", "validation", "test_oracle")
PRECISIONS = ("float32", "bfloat16")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse parameters of a `TorchEstimator` that no training can follow.

    Raises
    ------
    ModelError : names all that is wrong at once.
    """
    selection = settings["selection"]
    wrong = []
    if selection not in SELECTIONS:
        wrong.append(f"selection is {selection!r}, expected one of {', '.join(SELECTIONS)}")
    elif settings["patience"] is not None and selection == "last":
        wrong.append("patience needs held-out speakers, so selection='validation'")
    if settings["precision"] not in PRECISIONS:
        found = settings["precision"]
        wrong.append(f"precision is {found!r}, expected one of {', '.join(PRECISIONS)}")
    schedule = settings["schedule"]
    pairs = [] if schedule is None or isinstance(schedule, str) else schedule
    if schedule not in (None, "cosine") and (
        isinstance(schedule, str) or not all(len(pair) == 2 for pair in pairs)
    ):
        wrong.append(f"schedule is {schedule!r}, expected 'cosine' or pairs [epochs, rate]")
    head = settings["head_params"] or {}
    shares = {name: settings.get(name, 0) for name in ("warmup", "label_smoothing", "momentum")}
    for name, share in {**shares, "dropout": head.get("dropout", 0)}.items():
        if not 0 <= share < 1:
            wrong.append(f"{name} is {share}, expected 0 or more, less than 1")
    if not all(0 <= beta < 1 for beta in settings["betas"]):
        wrong.append(f"betas are {settings['betas']}, expected 0 or more, less than 1")
    if not 0 < settings["validation_fraction"] < 1:
        wrong.append(
            f"validation_fraction is {settings['validation_fraction']}, expected a share between "
            "0 and 1"
        )
    if not settings["weight_decay"] >= 0:
        wrong.append(f"weight_decay is {settings['weight_decay']}, expected 0 or more")
    for least, names in (
        (1, ("epochs", "batch_size", "patience", "threads", "every")),
        (0, ("learning_rate", "eps", "clip_norm")),
    ):
        for name in names:
            value = settings[name]
            if value is not None and not (value >= 1 if least else value > 0):
                wrong.append(
                    f"{name} is {value}, expected {'at least 1' if least else 'more than 0'}"
                )
    if wrong:
        raise ModelError("; ".join(wrong), where=f"head {settings['head']}", code="bad-parameter")


def as_labels(y: Any, n: int, *, estimator: str) -> Labels:
    """Return y as (n,) labels; `estimator` is the name for the message.

    Raises
    ------
    ModelError : no y.
    ValueError : another length than n, or numbers that are no classes (scikit-learn's contract).
    """
    if y is None:
        raise ModelError(
            f"{estimator} requires y to be passed, but the target y is None", code="no-labels"
        )
    labels: Labels = column_or_1d(y, warn=True)
    check_consistent_length(range(n), labels)
    check_classification_targets(labels)
    return labels


def as_proportions(proportions: Any, n: int, n_classes: int) -> Floats | None:
    """Return rater votes as (n, n_classes) shares that sum to 1; None stays None.

    Raises
    ------
    ModelError : another shape, a negative or missing share, a row without a vote.
    """
    if proportions is None:
        return None
    shares = np.asarray(proportions, dtype=np.float64)
    if shares.shape != (n, n_classes):
        raise ModelError(
            f"proportions of shape {shares.shape}, expected {(n, n_classes)}: a row for each clip, "
            "a column for each label of y, in sorted order",
            code="bad-targets",
        )
    sums = shares.sum(axis=1)
    bad = np.flatnonzero(~((shares >= 0).all(axis=1) & (sums > 0)))
    if len(bad):
        raise ModelError(
            f"proportions: {len(bad)} clips without a vote (or with one that is negative or NaN), "
            f"the first is number {bad[0]}",
            code="bad-targets",
            fix="leave these clips out",
        )
    return np.asarray(shares / sums[:, None])


def as_targets(y: Any, n: int, *, estimator: str) -> Floats:
    """Return y as (n, targets) float64, NaN = missing; `estimator` is the name for the message.

    Raises
    ------
    ModelError : no y, no numbers, infinity, another number of rows.
    """
    if y is None:
        raise ModelError(
            f"{estimator} requires y to be passed, but the target y is None", code="no-labels"
        )
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"{estimator} learns numbers, and y holds {type(np.asarray(y).flat[0]).__name__}",
            code="bad-targets",
            fix="use a column of numbers, or the task classification",
        ) from None
    values = values.reshape(len(values), -1) if values.ndim else values[None, None]
    if np.isinf(values).any() or len(values) != n:
        raise ModelError(
            f"y holds {len(values)} rows for {n} clips, or infinity", code="bad-targets"
        )
    return values


def target_scale(targets: Floats) -> tuple[Floats, Floats]:
    """Means and standard deviations (targets,) of (n, targets); a constant target has 1.

    Raises
    ------
    ModelError : a target that no row has.
    """
    if empty := np.flatnonzero(np.isnan(targets).all(axis=0)).tolist():
        raise ModelError(
            f"target number {empty[0] + 1} of {targets.shape[1]} has no value in training",
            code="bad-targets",
        )
    spread = np.nanstd(targets, axis=0)
    return np.nanmean(targets, axis=0), np.where(spread > 0, spread, 1.0)


def held_out_speakers(
    targets: Ints, groups: ArrayLike | None, *, fraction: float, seed: int
) -> tuple[Bools, list[Any]]:
    """Choose validation speakers so that every class stays in training.

    Parameters
    ----------
    targets : (n,) classes as 0 ... n_classes - 1.
    groups : (n,) speakers.
    fraction : share of the speakers to hold out, at least one.

    Returns
    -------
    held_out (n,), True for the clips of a held-out speaker; the names of these speakers, sorted.

    Raises
    ------
    ModelError : fewer than two speakers, or none whose classes all have another speaker.
    """
    held_out = np.zeros(len(targets), dtype=bool)
    speakers = np.array([]) if groups is None else np.asarray(groups)
    if len(np.unique(speakers)) < 2 or len(speakers) != len(targets):
        found = "no groups" if groups is None else f"{len(np.unique(speakers))} of them"
        raise ModelError(
            f"selection 'validation' needs the speakers of all {len(targets)} clips, at least "
            f"2 different ones; found {found} for {len(speakers)} clips",
            code="no-groups",
            fix="pass fit(X, y, groups=speakers) or set selection='last'",
        )
    names = np.unique(speakers)
    wanted = max(1, round(fraction * len(names)))
    chosen: list[Any] = []
    for name in np.random.default_rng(seed).permutation(names):
        rest = ~held_out & (speakers != name)
        if len(chosen) < wanted and len(np.unique(targets[rest])) == targets.max() + 1:
            held_out = ~rest
            chosen.append(np.asarray(name).item())  # a column of pandas holds plain str
    if not chosen:
        raise ModelError(
            "every training speaker is the only one of some class, so none can be held out",
            code="no-validation",
            fix="set selection='last'",
        )
    return held_out, sorted(chosen)


def held_out_clips(
    targets: Ints,
    groups: ArrayLike | None,
    *,
    fraction: float,
    seed: int,
    recorded: int | None = None,
    validation: ArrayLike | None = None,
) -> tuple[Bools, Bools, list[Any]]:
    """Choose the clips that judge a training and take no part in it.

    Parameters
    ----------
    targets, groups, fraction, seed : see `held_out_speakers`.
    recorded : clips from here on are further versions of those before, and judge nothing.
    validation : (n,) the clips that are set apart already; None: speakers are drawn.

    Returns
    -------
    (n,) clips that are not trained on, (n,) those of them that judge, and the names of their
    speakers, sorted.

    Raises
    ------
    ModelError : see `held_out_speakers`.
    """
    if validation is None:
        held_out, names = held_out_speakers(targets, groups, fraction=fraction, seed=seed)
    else:
        held_out = np.array(validation, dtype=bool)
        names = [] if groups is None else np.unique(np.asarray(groups)[held_out]).tolist()
    return held_out, held_out & (np.arange(len(targets)) < (recorded or len(targets))), names


class HoldsOut:
    """An estimator that may set rows apart, by which its training is judged."""

    validation_fraction: float
    seed: int

    def apart(
        self,
        y: Any,
        groups: ArrayLike | None = None,
        *,
        recorded: int | None = None,
        validation: ArrayLike | None = None,
    ) -> tuple[Bools, Bools, list[Any]]:
        """Find the rows that `fit`, given the same, does not learn from.

        Returns
        -------
        See `held_out_clips`; no rows where nothing is judged.
        """
        if not self._judges():
            none = np.zeros(len(y), dtype=bool)
            return none, none, []
        return held_out_clips(
            self._codes(y), groups, fraction=self.validation_fraction, seed=self.seed,
            recorded=recorded, validation=validation,
        )  # fmt: skip

    def _judges(self) -> bool:
        """Whether its settings ask for such rows."""
        raise NotImplementedError

    def _codes(self, y: Any) -> Ints:
        """(n,) classes of which none may go with the speakers that are held out."""
        return np.unique(np.asarray(y), return_inverse=True)[1]


def class_weights(
    weight: str | Mapping[Any, float] | None, labels: Labels, classes: Labels
) -> Floats | None:
    """(n_classes,) weights in the order of `classes`, None without any.

    Raises
    ------
    ModelError : not None (in a recipe ``"none"``), ``"balanced"`` or a dict label -> weight.
    """
    if weight is None or weight == "none":
        return None
    asked = weight if isinstance(weight, str) else dict(weight)
    try:
        return np.asarray(compute_class_weight(asked, classes=classes, y=labels))
    except ValueError as error:
        raise ModelError(f"class_weight: {error}", code="bad-parameter") from None
