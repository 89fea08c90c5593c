"""Gaussian mixtures as a classifier: one mixture per emotion, on frames.

Peers "classify" with one mixture over all data whose components are then read as classes: that is
clustering, and scores like it. Here every class has its own mixture p(x | c), trained on the frames
of its training clips (Reynolds 1995 for speakers; the usual GMM baseline of emotion papers); an
utterance x_1 ... x_T goes to the class with the largest sum over its frames,

    score_c = sum_t log p(x_t | c).

With ``ubm=True`` the classes are adapted from one mixture (Reynolds, Quatieri & Dunn 2000): a
universal background model is fitted to the frames of all classes, and each class moves its means as
far as its frames bear witness. With the responsibilities g_tk of component k for frame t,

    n_k = sum_t g_tk,   e_k = sum_t g_tk x_t / n_k,   a_k = n_k / (n_k + r),
    m_k <- a_k e_k + (1 - a_k) m_k;

weights and variances stay the background's (means only, one pass). A class with few clips thus
keeps a mixture that it could never have fitted on its own.

The usual settings of emotion papers: 13 MFCC with two deltas, z-scored, voiced frames only, 4 to 32
components with diagonal covariances.

Sources
-------
D. A. Reynolds, R. C. Rose, "Robust text-independent speaker identification using Gaussian mixture
speaker models", IEEE Trans. Speech and Audio Processing 3(1), 1995. D. A. Reynolds, T. F. Quatieri,
R. B. Dunn, "Speaker verification using adapted Gaussian mixture models", Digital Signal Processing
10, 2000.
"""

from __future__ import annotations

import warnings
from copy import copy
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted

from serfeat.errors import ModelError
from serfeat.sequences import Sequences
from serfeat.types import Floats, Floats32

__all__ = ["GMMClassifier"]


class GMMClassifier(ClassifierMixin, BaseEstimator):
    """One Gaussian mixture per class on frame vectors, log-likelihood summed over frames.

    Classes are equally probable a priori, so that the objective is UAR.

    Parameters
    ----------
    n_components : Gaussians per class.
    covariance : ``"diag"`` or ``"full"``.
    max_frames : training frames per class, drawn at random if there are more; None takes all.
    frames_per_observation : neighbouring frames overlap and repeat each other, so that the summed
        log-likelihood counts the same evidence many times; it is divided by this number before the
        softmax, which changes the probabilities and never the prediction.
    ubm : adapt the classes from a background model instead of fitting each by itself.
    relevance : r, frames that count as much as the background's mean.
    unvoiced_column : the column of X with two values, the higher one in unvoiced frames: the
        indicator that `FramePreparation` appends for a column with undefined frames such as F0 (-1
        if F0 is the only one, or the last). Unvoiced frames are left out in training and scoring,
        and so is the column; a clip without a voiced frame keeps all. None: all frames.
    seed : of the draw and of EM's k-means++ start.
    """

    def __init__(
        self,
        n_components: int = 16,
        covariance: str = "diag",
        max_frames: int | None = 10_000,
        frames_per_observation: float = 20.0,
        ubm: bool = False,
        relevance: float = 16.0,
        unvoiced_column: int | None = None,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance = covariance
        self.max_frames = max_frames
        self.frames_per_observation = frames_per_observation
        self.ubm = ubm
        self.relevance = relevance
        self.unvoiced_column = unvoiced_column
        self.seed = seed

    def fit(self, X: Sequences, y: Any) -> GMMClassifier:
        """Fit one mixture per label to the frames of its clips.

        Raises
        ------
        ModelError : a class (with `ubm`, all of them together) with fewer frames than components;
            an `unvoiced_column` with more than two values.
        """
        labels = np.asarray(y)
        rng = np.random.default_rng(self.seed)
        self.classes_ = np.unique(labels)
        self.n_features_in_ = X.shape[1]
        if self.unvoiced_column is not None:
            column = self.unvoiced_column % X.shape[1]
            self.threshold_ = _between(X.columns(column, column + 1))
        frames = {
            label: self._drawn(X[np.flatnonzero(labels == label)], rng) for label in self.classes_
        }
        if not self.ubm:
            self.mixtures_ = [self._mixture(own, f"of {label}") for label, own in frames.items()]
            return self
        self.background_ = self._mixture(np.concatenate(list(frames.values())), "in all")
        self.mixtures_ = [_adapted(self.background_, f, self.relevance) for f in frames.values()]
        return self

    def log_likelihood(self, X: Sequences) -> Floats:
        """(n, classes) sum over the clip's frames of log p(x_t | c)."""
        check_is_fitted(self)
        sums = [np.empty((0, len(self.mixtures_)))]
        for portion in X.portions():
            own = self._frames(portion)
            frames = own.values.astype(np.float64)
            per_frame = np.stack([m.score_samples(frames) for m in self.mixtures_], axis=1)
            sums.append(np.add.reduceat(per_frame, own.offsets[:-1], axis=0))
        return np.concatenate(sums)

    def _drawn(self, X: Sequences, rng: np.random.Generator) -> Floats:
        """(<= max_frames, k) frames of the clips of one class, drawn at random if there are more.

        The clips are read twice, a portion at a time: to count their frames, and to take some.
        """
        counts = [int(self._frames(portion).offsets[-1]) for portion in X.portions()]
        total = sum(counts)
        drawn = np.arange(total)
        if self.max_frames is not None and total > self.max_frames:
            drawn = np.sort(rng.choice(total, self.max_frames, replace=False))
        begins = np.cumsum([0, *counts])
        parts = []
        for begin, end, portion in zip(begins[:-1], begins[1:], X.portions(), strict=True):
            here = drawn[(drawn >= begin) & (drawn < end)] - begin
            parts.append(self._frames(portion).values[here].astype(np.float64))
        return np.concatenate(parts)

    def _frames(self, X: Sequences) -> Sequences:
        """Return the voiced frames, without the column that tells them; all if there is none."""
        if self.unvoiced_column is None:
            return X
        voiced = X.values[:, self.unvoiced_column] <= self.threshold_
        count = np.add.reduceat(voiced, X.offsets[:-1], dtype=np.int64)
        keep = voiced | np.repeat(count == 0, X.lengths)
        lengths = np.where(count == 0, X.lengths, count)
        values = np.delete(X.values[keep], self.unvoiced_column, axis=1)
        return Sequences(values, np.concatenate([[0], np.cumsum(lengths)]))

    def _mixture(self, frames: Floats, whose: str) -> GaussianMixture:
        """Fit one mixture by EM."""
        if len(frames) < self.n_components:
            raise ModelError(
                f"{len(frames)} frames {whose}, expected at least the "
                f"{self.n_components} components",
                where="gmm",
                code="too-few-frames",
                fix="use fewer components or more recordings",
            )
        mixture = GaussianMixture(
            self.n_components,
            covariance_type=self.covariance,
            init_params="k-means++",
            reg_covar=1e-3,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            # EM may use up its iterations; each mixture's `converged_` says whether it did.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return mixture.fit(frames)

    def predict(self, X: Sequences) -> Any:
        """Return the class with the largest summed log-likelihood."""
        return self.classes_[self.log_likelihood(X).argmax(axis=1)]

    def predict_proba(self, X: Sequences) -> Floats:
        """(n, classes) probabilities, see ``frames_per_observation``."""
        return np.asarray(softmax(self.log_likelihood(X) / self.frames_per_observation, axis=1))


def _between(column: Floats32) -> float:
    """The middle between the two values of an indicator."""
    values = np.unique(column)
    if len(values) > 2:
        raise ModelError(
            f"unvoiced_column has {len(values)} different values, expected two (voiced or not)",
            where="gmm",
            code="bad-parameter",
            fix="name the indicator of a descriptor that is undefined in unvoiced frames, such as "
            "f0",
        )
    return float(values.mean(dtype=np.float64))


def _adapted(background: GaussianMixture, frames: Floats, relevance: float) -> GaussianMixture:
    """Copy the background and move its means towards the frames (n, k); see the module."""
    responsibility = background.predict_proba(frames)  # (n, components)
    count = responsibility.sum(axis=0)[:, None]  # (components, 1)
    means = (responsibility.T @ frames) / np.maximum(count, np.finfo(np.float64).tiny)
    share = count / (count + relevance)
    adapted = copy(background)
    adapted.means_ = share * means + (1 - share) * background.means_
    return adapted
