"""Gaussian mixtures as a classifier: one mixture per emotion, on frames.

Peers "classify" with one mixture over all data whose components are then read as classes: that is
clustering, and scores like it. Here every class has its own mixture p(x | c), trained on the frames
of its training clips (Reynolds 1995 for speakers; the usual GMM baseline of emotion papers); an
utterance x_1 ... x_T goes to the class with the largest sum over its frames,

    score_c = sum_t log p(x_t | c).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted

from serfeat.errors import ModelError
from serfeat.sequences import Sequences
from serfeat.types import Floats

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
    seed : of the draw and of EM's k-means++ start.
    """

    def __init__(
        self,
        n_components: int = 16,
        covariance: str = "diag",
        max_frames: int | None = 10_000,
        frames_per_observation: float = 20.0,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.covariance = covariance
        self.max_frames = max_frames
        self.frames_per_observation = frames_per_observation
        self.seed = seed

    def fit(self, X: Sequences, y: Any) -> GMMClassifier:
        """Fit one mixture per label to the frames of its clips.

        Raises
        ------
        ModelError : a class with fewer frames than components.
        """
        labels = np.asarray(y)
        rng = np.random.default_rng(self.seed)
        self.classes_ = np.unique(labels)
        self.n_features_in_ = X.shape[1]
        self.mixtures_ = []
        for label in self.classes_:
            frames = X[np.flatnonzero(labels == label)].values.astype(np.float64)
            if len(frames) < self.n_components:
                raise ModelError(
                    f"{len(frames)} frames of {label}, expected at least the "
                    f"{self.n_components} components",
                    where="gmm",
                    code="too-few-frames",
                    fix="use fewer components or more recordings",
                )
            if self.max_frames is not None and len(frames) > self.max_frames:
                frames = frames[np.sort(rng.choice(len(frames), self.max_frames, replace=False))]
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
                self.mixtures_.append(mixture.fit(frames))
        return self

    def log_likelihood(self, X: Sequences) -> Floats:
        """(n, classes) sum over the clip's frames of log p(x_t | c)."""
        check_is_fitted(self)
        frames = X.values.astype(np.float64)
        per_frame = np.stack([m.score_samples(frames) for m in self.mixtures_], axis=1)
        return np.asarray(np.add.reduceat(per_frame, X.offsets[:-1], axis=0), dtype=np.float64)

    def predict(self, X: Sequences) -> Any:
        """Return the class with the largest summed log-likelihood."""
        return self.classes_[self.log_likelihood(X).argmax(axis=1)]

    def predict_proba(self, X: Sequences) -> Floats:
        """(n, classes) probabilities, see ``frames_per_observation``."""
        return np.asarray(softmax(self.log_likelihood(X) / self.frames_per_observation, axis=1))
