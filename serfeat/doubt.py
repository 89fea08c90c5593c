"""When a trained model should say "I do not know".

A classifier names an emotion for everything: for a cough, for a voice unlike any that it was
trained on, and where two labels are equally likely. Two things that are known of it tell when its
word is worth little, and both are measured on speakers whom it had not heard:

* *Unsure.* The model is trained again without some of the speakers, and asked about them. How often
  it was right, as a rising function of its largest probability (isotonic regression), is the
  calibrated probability; as if one more clip had been right at the least sure end and one more
  wrong at a probability of 1 (Platt's correction), for no handful of clips makes a certainty. An
  answer is unknown where it is below one half: wrong more often than right.
* *Unlike the training.* For every column the range between the .1 and 99.9 % points of the training
  clips is kept. The share of columns that a clip of a held-out speaker has outside the ranges of
  the other speakers says what is usual for a new voice; a clip with a larger share than 99 % of
  these is unlike anything that the model was trained on, and is unknown whatever it says.

A model without this record cannot be calibrated afterwards; for one on tables its own scaling still
tells of clips that lie far away (`far`): more than 5 % of the columns further than 5 standard
deviations from the mean of the training clips. That is a rule of thumb, and is called so.

Neither rule knows whether a person is angry. With few speakers both are rough: `Doubt.speakers` and
`Doubt.clips` say of how many they were made.

Conventions
-----------
Frames of a clip count as their mean (NaN left out). A column that is NaN is not outside; an
infinite one is. The record is ``doubt.json`` in the model's folder and holds the checksum of the
model's card: of another model it is refused.

Contents
--------
`Doubt`             : the record.           `learn`  : made from the training clips.
`judge`, `Judgement`: of one clip.          `far`    : the rule of thumb.
`save_doubt`, `load_doubt` : on disk.

Sources
-------
Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates",
KDD 2002 (isotonic calibration). Platt, "Probabilistic outputs for support vector machines", 1999
(one more clip of either kind). Chow, "On optimum recognition error and reject tradeoff", IEEE
Transactions on Information Theory 16, 1970 (refusing to answer below a probability).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.errors import ModelError
from serfeat.files import committed
from serfeat.models import fit
from serfeat.sequences import Sequences
from serfeat.types import Bools, Floats

__all__ = [
    "UNKNOWN",
    "Doubt",
    "Judgement",
    "far",
    "judge",
    "learn",
    "load_doubt",
    "save_doubt",
]

UNKNOWN = "unknown"  # what is said in place of a label
FORMAT = 1
FILE = "doubt.json"
RIGHT = 0.5  # calibrated probability below which an answer is unknown
RANGE = (0.001, 0.999)
USUAL = 0.99
FAR_SD, FAR_SHARE = 5.0, 0.05


@dataclass(frozen=True)
class Doubt:
    """What is known of a model's doubts.

    Parameters
    ----------
    confidence, right : (m,) rising: largest probability, and the share of held-out clips that were
        right at it; between them it is interpolated.
    low, high : (k,) range of every column in training; NaN: the column was never defined.
    usual : share of columns outside that a clip may have.
    speakers, clips, groups : held out, in so many groups.
    accuracy : share of the held-out clips that were right.
    answered : share of the held-out clips that are not unknown by these rules.
    accuracy_answered : share of those that were right; NaN: none is answered.
    """

    confidence: tuple[float, ...]
    right: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    usual: float
    speakers: int
    clips: int
    groups: int
    accuracy: float
    answered: float
    accuracy_answered: float

    def calibrated(self, confidence: Any) -> Floats:
        """How often held-out clips were right whose largest probability was this."""
        given = np.asarray(confidence, dtype=np.float64)
        return np.asarray(np.interp(given, self.confidence, self.right))

    def outside(self, rows: Any) -> Floats:
        """(n,) share of the columns of (n, k) rows that lie outside the training's range."""
        return _outside(np.asarray(rows, dtype=np.float64), np.array(self.low), np.array(self.high))


@dataclass(frozen=True)
class Judgement:
    """Whether an answer may be believed, and why not.

    Parameters
    ----------
    known : False: the answer is to be shown as unknown.
    reasons : why it is unknown, one line each; empty where it is known.
    calibrated : probability that the answer is right, as found on held-out speakers; NaN: the model
        has no record of them.
    outside : share of columns outside the training's range; NaN as above.
    rule : "held-out speakers", or "rule of thumb" for a model without a record.
    """

    known: bool
    reasons: tuple[str, ...]
    calibrated: float
    outside: float
    rule: str


def learn(
    make: Callable[[], Any],
    X: Any,
    truth: Sequence[str],
    speakers: Sequence[str],
    *,
    groups: int = 4,
    shares: Mapping[str, Any] | None = None,
    recorded: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> Doubt:
    """Train without some speakers, ask about them, and write down how that went.

    Parameters
    ----------
    make : -> an unfitted pipeline like the one that is deployed.
    X : (n, k) rows or `Sequences`, as the pipeline takes them.
    truth, speakers : (n,).
    groups : of speakers; each is held out once. Fewer where there are fewer speakers.
    shares : further arguments of `serfeat.models.fit`, one entry per row of X.
    recorded : rows from here on are further versions of those before, in their order: they are
        trained on, and nobody is asked about them.
    progress : is called with (groups done, of how many).

    Raises
    ------
    ModelError : fewer than two speakers, or no group with two emotions left to train on.
    """
    y, who = np.asarray(truth, dtype=object), np.asarray(speakers, dtype=object)
    codes, names = np.unique(who.astype(str), return_inverse=True)[::-1]
    count = min(groups, len(names))
    if count < 2:
        raise ModelError(
            f"{len(names)} speaker, expected two or more to hold out",
            code="few-speakers",
            fix="train without a record of doubt, or on more speakers",
        )
    rows = summary(X)
    confidence, right, outside = [], [], []
    for group in range(count):
        progress(group, count)
        test = codes % count == group
        train = np.flatnonzero(~test)
        if len(set(y[train])) < 2:
            continue
        given = {name: _part(value, train) for name, value in (shares or {}).items()}
        first = int((train < (recorded or len(y))).sum())
        model = fit(make(), X[train], y[train], who[train], recorded=first, **given)
        places = np.flatnonzero(test[:recorded])
        proba = np.asarray(model.predict_proba(X[places]))
        named = np.asarray([str(c) for c in model.classes_], dtype=object)[proba.argmax(axis=1)]
        confidence.append(proba.max(axis=1))
        right.append(named == y[places])
        outside.append(_outside(rows[places], *_range(rows[train])))
    progress(count, count)
    if not confidence:
        raise ModelError("no speakers can be held out: one emotion is left", code="one-class")
    return _made(
        np.concatenate(confidence), np.concatenate(right), np.concatenate(outside), rows,
        speakers=len(names), groups=count,
    )  # fmt: skip


def _part(value: Any, train: Any) -> Any:
    """The training rows of something that has one entry per row; of a table of such, of each."""
    if isinstance(value, Mapping):
        return {name: np.asarray(column)[train] for name, column in value.items()}
    return None if value is None else np.asarray(value)[train]


def _made(
    confidence: Floats, right: Bools, outside: Floats, rows: Floats, *, speakers: int, groups: int
) -> Doubt:
    """Calibrate, and take what is usual from what was found."""
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    ends = [confidence.min(), 1.0]  # one more clip at either end: never 0 and never 1
    curve.fit(np.append(confidence, ends), np.append(right.astype(np.float64), [1.0, 0.0]))
    usual = float(np.quantile(outside, USUAL))
    answered = (curve.predict(confidence) >= RIGHT) & (outside <= usual)
    low, high = _range(rows)
    return Doubt(
        confidence=tuple(map(float, curve.X_thresholds_)),
        right=tuple(map(float, curve.y_thresholds_)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
        usual=usual,
        speakers=speakers,
        clips=len(confidence),
        groups=groups,
        accuracy=float(right.mean()),
        answered=float(answered.mean()),
        accuracy_answered=float(right[answered].mean()) if answered.any() else math.nan,
    )


def summary(X: Any) -> Floats:
    """(n, k) one row per clip: rows as they are, the mean over the frames of `Sequences`."""
    if not isinstance(X, Sequences):
        return np.asarray(X, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a defined frame is NaN
        means = [np.nanmean(np.asarray(clip, dtype=np.float64), axis=0) for clip in X]
    return np.stack(means) if means else np.empty((0, X.shape[1]))


def _range(rows: Floats) -> tuple[Floats, Floats]:
    """(k,) and (k,): the ends of every column's range; NaN without a finite value."""
    finite = np.where(np.isfinite(rows), rows, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(finite, RANGE, axis=0)
    return low, high


def _outside(rows: Floats, low: Floats, high: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(((rows < low) | (rows > high)).mean(axis=1))


# --- one clip ---------------------------------------------------------------------------------


def judge(doubt: Doubt, confidence: float, row: Any) -> Judgement:
    """Judge the answer of a model with a record.

    Parameters
    ----------
    confidence : largest probability of the answer.
    row : (k,) what the model was given; of frames their mean, see `summary`.
    """
    right = float(doubt.calibrated(confidence))
    share = float(doubt.outside(np.asarray(row)[None])[0])
    reasons = []
    if not right >= RIGHT:
        reasons.append(
            f"unsure: on {doubt.speakers} held-out speakers, answers given with a probability of "
            f"{confidence:.2f} were right in {100 * right:.0f} % of the clips"
        )
    if share > doubt.usual:
        reasons.append(
            f"unlike the training: {100 * share:.0f} % of the features lie outside its range; of "
            f"held-out speakers' clips 99 in 100 have at most {100 * doubt.usual:.0f} %"
        )
    return Judgement(not reasons, tuple(reasons), right, share, "held-out speakers")


def far(model: Any, X: Any) -> Judgement:
    """Judge one clip by the scaling of a pipeline without a record: the rule of thumb.

    Parameters
    ----------
    model : fitted pipeline.
    X : (1, k) rows or `Sequences` of one clip.
    """
    prepared = model[:-1].transform(X)
    z = summary(prepared)[0]
    scaled = any(hasattr(step, "scale_") for _, step in model.steps[:-1])
    share = float((np.abs(z) > FAR_SD).mean()) if scaled and len(z) else math.nan
    reasons: tuple[str, ...] = ()
    if share > FAR_SHARE:
        reasons = (
            f"far from the training: {100 * share:.0f} % of the features are more than "
            f"{FAR_SD:g} standard deviations from its mean (rule of thumb: at most 5 %)",
        )
    return Judgement(not reasons, reasons, math.nan, share, "rule of thumb")


# --- on disk ----------------------------------------------------------------------------------


def save_doubt(doubt: Doubt, folder: Path, card: Mapping[str, Any]) -> None:
    """Store the record beside the model whose card this is.

    Parameters
    ----------
    card : as `serfeat.models.storage.load_model` gives it back.
    """
    held = {k: _plain(v) for k, v in asdict(doubt).items()}
    text = json.dumps({"format": FORMAT, "model": _key(card), **held}, allow_nan=False)
    with committed(folder / FILE) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def load_doubt(folder: Path, card: Mapping[str, Any]) -> Doubt | None:
    """Read the record of a model; None if it has none.

    Raises
    ------
    ModelError : a record that cannot be read, or that is of another model.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        version, model = held.pop("format"), held.pop("model")
        found = Doubt(**{k: _number(v) for k, v in held.items()})
        columns = {len(found.low), len(found.high)}
        whole = (version, columns) == (FORMAT, {len(card["features"]["columns"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"cannot be read ({type(error).__name__})", where=path, code="bad-doubt", fix=_AGAIN
        ) from None
    if not whole or model != _key(card) or len(found.right) != len(found.confidence):
        raise ModelError("is of another model", where=path, code="bad-doubt", fix=_AGAIN)
    return found


_AGAIN = "train the model again, or delete this file"


def _key(card: Mapping[str, Any]) -> str:
    """What tells one trained model from another: the checksums of its files."""
    return json.dumps(card["files"], sort_keys=True)


def _plain(value: Any) -> Any:
    """NaN as null, which JSON has."""
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(float(_number(v)) for v in value)
    return math.nan if value is None else value
