"""The models: name -> factory of a scikit-learn pipeline.

Every model is a pipeline whose first steps impute and scale (fitted on training rows only) and
whose last step is a classifier with string labels, or, with ``task="regression"``, a regressor of
dimensions (valence, arousal, dominance); deep and classical entries go through the same code.
`MODELS` is the table; a new model is one line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from serfeat.errors import ModelError, SerfeatError, did_you_mean
from serfeat.models.preparation import PREPARATIONS, FramePreparation, table_steps
from serfeat.models.values import check_values

__all__ = [
    "MODELS",
    "TASKS",
    "Model",
    "Task",
    "check_columns",
    "check_model",
    "fit",
    "make_model",
    "model_parameters",
]

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = ("classification", "regression")


@dataclass(frozen=True)
class Model:
    """A kind of model.

    Parameters
    ----------
    name : the word that recipes use.
    kind : ``"classical"`` or ``"deep"``.
    level : what it is trained on: ``"functionals"``, a row per clip, or ``"lld"``, a row per frame.
    summary, source : for readers.
    make : ``make(**params) -> classifier``, the last step of the pipeline.
    params : fixed parameters of `make`; a recipe may override those that `make` accepts.
    preparation : what is done to the features first, see `serfeat.models.preparation`.
    regressor : ``regressor(**params) -> regressor``; None for a model of classes only.
    """

    name: str
    kind: Literal["classical", "deep"]
    level: Literal["functionals", "lld"]
    summary: str
    source: str
    make: Callable[..., Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    preparation: Literal["standard", "scaled", "plain"] = "standard"
    regressor: Callable[..., Any] | None = None


def _knn(**params: Any) -> Any:
    from serfeat.models.classical import NearestNeighbours

    return NearestNeighbours(**params)


def _gmm(**params: Any) -> Any:
    from serfeat.models.gmm import GMMClassifier

    return GMMClassifier(**params)


def _bayes(**params: Any) -> Any:
    from serfeat.models.dellaert import MaximumLikelihoodBayes

    return MaximumLikelihoodBayes(**params)


def _mvss(**params: Any) -> Any:
    from serfeat.models.specialists import SubspaceSpecialists

    return SubspaceSpecialists(**params)


def _svm(**params: Any) -> Any:
    from serfeat.models.classical import SupportVectors

    return SupportVectors(**params)


def _xgb(**params: Any) -> Any:
    from serfeat.models.classical import BoostedTrees

    return BoostedTrees(**params)


def _ridge(**params: Any) -> Any:
    from serfeat.models.linear import RidgeLogistic

    return RidgeLogistic(**params)


def _regressor(name: str) -> Callable[..., Any]:
    """Return the maker of a class of `serfeat.models.regression`."""

    def make(**params: Any) -> Any:
        from serfeat.models import regression

        return getattr(regression, name)(**params)

    return make


def _head(head: str, **params: Any) -> Any:
    """Make a `TorchClassifier`; parameters that are not its own go to the head."""
    from serfeat.models.torch_classifier import TorchClassifier

    return _estimator(TorchClassifier, head, params)


def _head_regressor(head: str, **params: Any) -> Any:
    """Make a `TorchRegressor`; parameters that are not its own go to the head."""
    from serfeat.models.torch_regressor import TorchRegressor

    return _estimator(TorchRegressor, head, params)


def _estimator(kind: Any, head: str, params: Mapping[str, Any]) -> Any:
    own = set(inspect.signature(kind.__init__).parameters) - {"self", "head_params"}
    trainer = {k: v for k, v in params.items() if k in own}
    network = {k: v for k, v in params.items() if k not in own}
    return kind(head, network or None, **trainer)


# What only classes need: fixed parameters of deep models that a regressor is not given.
_OF_CLASSES = ("class_weight", "label_smoothing")


def _classical(
    name: str,
    level: Any,
    summary: str,
    source: str,
    make: Any,
    regressor: Any = None,
    **params: Any,
) -> Model:
    return Model(name, "classical", level, summary, source, make, params, regressor=regressor)


def _deep(
    name: str, level: Any, summary: str, source: str, way: Any = "standard", **params: Any
) -> Model:
    params = {"class_weight": "balanced", **params}
    return Model(name, "deep", level, summary, source, _head, params, way, _head_regressor)


# What a program may hand over and a recipe has no say in: a comparison keeps a training for every
# fold, in a file of its own.
_FOR_PROGRAMS = {"checkpoint", "verbose"}

_DELLAERT = "Dellaert, Polzin & Waibel, ICSLP 1996"
_LI = "Li & Zhang, Digital Communications and Networks 2025, doi 10.1016/j.dcan.2024.10.007"

MODELS: dict[str, Model] = {
    m.name: m
    for m in (
        _classical(
            "knn",
            "functionals",
            "k nearest neighbours on functionals",
            f"Cover & Hart 1967; for emotion {_DELLAERT}",
            _knn,
            _regressor("NearestNeighboursRegressor"),
        ),
        _classical(
            "knn_dellaert",
            "functionals",
            "k nearest neighbours, k chosen on held-out training speakers",
            _DELLAERT,
            _knn,
            candidates=(1, 3, 5, 7, 9, 15),
        ),
        _classical(
            "bayes",
            "functionals",
            "maximum likelihood: one Gaussian per emotion, shrunk covariance",
            _DELLAERT,
            _bayes,
        ),
        _classical(
            "mvss",
            "functionals",
            "majority voting of subspace specialists: a few features for each pair of emotions",
            _DELLAERT,
            _mvss,
        ),
        _classical(
            "gmm",
            "lld",
            "one Gaussian mixture per emotion on frames, log-likelihood summed",
            "Reynolds & Rose 1995",
            _gmm,
        ),
        _classical(
            "gmm_ubm",
            "lld",
            "Gaussian mixtures adapted from a background model of all frames",
            "Reynolds, Quatieri & Dunn 2000",
            _gmm,
            ubm=True,
        ),
        _classical(
            "svm",
            "functionals",
            "support vector machine, RBF or linear kernel, balanced classes",
            "Cortes & Vapnik 1995; regression Drucker et al., NIPS 1996",
            _svm,
            _regressor("SupportVectorRegressor"),
        ),
        _classical(
            "xgb",
            "functionals",
            "gradient-boosted trees, balanced classes",
            "Chen & Guestrin 2016",
            _xgb,
            _regressor("BoostedTreesRegressor"),
        ),
        _classical(
            "ridge",
            "functionals",
            "linear: logistic regression with a cost of squared weights, balanced classes",
            "Hoerl & Kennard 1970; le Cessie & van Houwelingen 1992",
            _ridge,
            _regressor("RidgeRegressor"),
        ),
        _deep(
            "mlp",
            "functionals",
            "multi-layer perceptron on functionals",
            "Rumelhart, Hinton & Williams 1986",
            head="mlp",
        ),
        _deep(
            "dbn",
            "functionals",
            "deep belief network: a stack of RBMs, then fine-tuned",
            "Hinton & Salakhutdinov 2006; Hinton 2012",
            head="dbn",
        ),
        *(
            _deep(
                cell,
                "lld",
                f"{words} in two directions, attention over the frames",
                source,
                head="rnn",
                cell=cell,
                clip_norm=5.0,
            )
            for cell, words, source in (
                ("rnn", "recurrent network", "Elman 1990"),
                ("lstm", "long short-term memory", "Hochreiter & Schmidhuber 1997"),
                ("gru", "gated recurrent units", "Cho et al. 2014"),
            )
        ),
        _deep(
            "cnn",
            "lld",
            "2-D convolution on 128 frames, as in an introductory article",
            "the article's example, 645 699 parameters",
            head="article_cnn",
            epochs=10,
        ),
        _deep(
            "cnn1d",
            "lld",
            "1-D convolutions over time with pooling",
            "Zhao, Mao & Chen, Biomedical Signal Processing and Control 47, 2019",
            head="cnn1d",
        ),
        _deep(
            "parallel_cnn",
            "lld",
            "parallel convolutions of four widths, maximum over time",
            "Aldeneh & Mower Provost, ICASSP 2017",
            head="parallel_cnn",
        ),
        _deep(
            "dcrn",
            "lld",
            "convolutions and LSTM from the waveform (features: waveform)",
            "Trigeorgis et al., ICASSP 2016",
            "plain",
            head="dcrn",
            n_samples=160,
            batch_size=8,
            learning_rate=1e-4,
        ),
        _deep(
            "transformer",
            "lld",
            "Transformer encoder on frames",
            "Vaswani et al. 2017; for emotion Tarantino et al., Interspeech 2019",
            head="transformer",
            learning_rate=3e-4,
            weight_decay=0.01,
            schedule="cosine",
            warmup=0.05,
            label_smoothing=0.1,
        ),
        _deep(
            "timnet",
            "lld",
            "TIM-Net: bidirectional dilated temporal-aware blocks on frames",
            "Ye et al., ICASSP 2023, arXiv 2211.08233",
            head="timnet",
            label_smoothing=0.1,
        ),
        _deep(
            "am_resnet",
            "lld",
            "AM-ResNet: masked residual network with attention on frames",
            _LI,
            head="am_resnet",
        ),
        _deep(
            "amrwc",
            "lld",
            "AMRWC: AM-ResNet and a pretrained encoder, fused by cross attention",
            _LI,
            "scaled",
            head="amrwc",
        ),
        _deep(
            "layer_weights",
            "lld",
            "learnt weights of an encoder's layers (features: encoder:...@all), averaged",
            "Yang et al., SUPERB, Interspeech 2021",
            "plain",
            head="layer_weights",
            learning_rate=1e-4,
            clip_norm=1.0,
        ),
    )
}


def make_model(
    name: str, *, seed: int = 0, task: Task = "classification", **params: Any
) -> Pipeline:
    """Make an untrained pipeline.

    Parameters
    ----------
    name : key of `MODELS`.
    seed : handed to the classifiers and regressors that draw random numbers.
    task : ``"classification"`` of labels, or ``"regression"`` of dimensions.
    **params : of the classifier or regressor (or, for a deep model, of the training loop or the
        network), and `preparation`.

    Returns
    -------
    Pipeline whose last step is named ``"classify"`` or ``"regress"``.

    Raises
    ------
    UnknownNameError : an unknown model, task or parameter.
    ModelError : regression by a model of classes only.
    """
    return _made(name, params, seed, task)


def check_model(name: str, params: Mapping[str, Any], *, task: Task = "classification") -> None:
    """Refuse what `make_model` refuses, and what is not for a recipe's entry to set, as its seed.

    Raises
    ------
    UnknownNameError, ModelError : see `make_model`; a value of another type than its parameter
        has, one that no training can follow.
    """
    known = model_parameters(name, task=task)
    for word in params:
        if word not in known:
            raise did_you_mean(f"parameter of {name}", word, known)
    try:
        estimator, *network = _makers(name, task)
        check_values(estimator, params)
        for maker in network:
            check_values(maker, params, counts=True)
        made = _made(name, params, 0, task).steps[-1][1]
        if MODELS[name].kind == "deep":
            made.check()
    except SerfeatError as error:
        error.where = name
        raise


def check_columns(
    name: str, params: Mapping[str, Any], columns: int, outputs: int, *, task: Task
) -> None:
    """Refuse a network whose parameters do not fit the columns that it will be given.

    Raises
    ------
    ModelError : says of the network what it expects.
    """
    if MODELS[name].kind == "deep":
        _made(name, params, 0, task).steps[-1][1].check_columns(columns, outputs)


def _made(name: str, params: Mapping[str, Any], seed: int, task: Task) -> Pipeline:
    """`make_model`, whatever words the parameters are called by."""
    model = _model(name, task)
    settings = {**_fixed(model, task), **params}
    way = settings.pop("preparation", model.preparation)
    if way not in PREPARATIONS:
        raise did_you_mean(f"preparation of {name}", str(way), PREPARATIONS)
    known = model_parameters(name, task=task) | _FOR_PROGRAMS
    for word in params:
        if word not in known:
            raise did_you_mean(f"parameter of {name}", word, known)
    last = _maker(model, task)(**settings)
    if "seed" in last.get_params():
        last.set_params(seed=seed)
    verb = "classify" if task == "classification" else "regress"
    if model.level == "lld":
        prepare = FramePreparation(way, n_samples=int(settings.get("n_samples") or 0))
        return Pipeline([("prepare", prepare), (verb, last)])
    return Pipeline([*table_steps(way), (verb, last)])


def model_parameters(name: str, *, task: Task = "classification") -> set[str]:
    """Words that a recipe may set: the estimator's, and for a deep model its network's too."""
    words = {word for maker in _makers(name, task) for word in inspect.signature(maker).parameters}
    words -= {"head", "head_params", "n_features", "n_classes", "seed", *_FOR_PROGRAMS}
    return words | {"preparation"}


def _makers(name: str, task: Task) -> list[Any]:
    """The classes that take the parameters: the estimator, and the network of a deep one."""
    model = _model(name, task)
    makers: list[Any] = [type(_maker(model, task)(**_fixed(model, task)))]
    if model.kind == "deep":
        from serfeat.heads import HEADS

        makers.append(HEADS[model.params["head"]])
    return makers


def _model(name: str, task: str) -> Model:
    """Look a model up, and whether it has this task."""
    if name not in MODELS:
        raise did_you_mean("model", name, MODELS)
    if task not in TASKS:
        raise did_you_mean("task", task, TASKS)
    if task == "regression" and MODELS[name].regressor is None:
        able = ", ".join(m.name for m in MODELS.values() if m.regressor is not None)
        raise ModelError(
            f"{name} decides between classes and has no regression",
            where=name,
            code="no-regressor",
            fix=f"for valence, arousal and the like use one of {able}",
        )
    return MODELS[name]


def _maker(model: Model, task: str) -> Callable[..., Any]:
    return model.make if task == "classification" or not model.regressor else model.regressor


def _fixed(model: Model, task: str) -> dict[str, Any]:
    """The model's own parameters, for this task."""
    if task == "classification":
        return dict(model.params)
    return {k: v for k, v in model.params.items() if k not in _OF_CLASSES}


def fit(
    pipeline: Pipeline,
    X: Any,
    y: Any,
    groups: Any,
    *,
    proportions: Any = None,
    tasks: Mapping[str, Any] | None = None,
    oracle: tuple[Any, Any] | None = None,
    recorded: int | None = None,
    validation: Any = None,
) -> Pipeline:
    """Fit a pipeline; its last step gets what it can use of what is known of the rows.

    Parameters
    ----------
    X, y : (n, k) or `Sequences`; (n,) labels, or for a regressor (n,) or (n, targets) numbers, NaN
        where a target is missing.
    groups : (n,) speakers.
    proportions : (n, n_labels) shares of the rater votes.
    tasks : name -> (n,) targets of other tasks.
    oracle : X and y of the test rows; only for ``selection="test_oracle"``.
    recorded : rows from here on are further versions of those before, in their order, once or
        several times: nothing is chosen on them. None: there are no versions.
    validation : (n,) the rows on which a model that chooses something chooses it; None: speakers
        of the rows, as the model says.

    Raises
    ------
    ModelError : votes, tasks or an oracle for a classifier that cannot use them; one class.
    """
    classifier = pipeline.steps[-1][1]
    _refuse_one_class(classifier, y)
    takes = inspect.signature(classifier.fit).parameters
    about = {"groups": np.asarray(groups), "recorded": recorded, "validation": validation}
    extra = {word: value for word, value in about.items() if word in takes}
    given = {"proportions": proportions, "tasks": tasks or None, "oracle": oracle}
    for word, value in given.items():
        if value is None:
            continue
        if word not in takes:
            raise ModelError(f"{type(classifier).__name__} cannot use {word}", code="bad-parameter")
        extra[word] = value
    apart = (
        classifier.apart(y, **about)[0] if hasattr(classifier, "apart") else np.zeros(1, dtype=bool)
    )
    if apart.any():  # what judges a training takes no part in it, by no mean or deviation either
        prepared = pipeline[:-1].fit(X[~apart], np.asarray(y)[~apart]).transform(X)
    else:
        prepared = pipeline[:-1].fit_transform(X, y)
    if oracle is not None:
        extra["oracle"] = (pipeline[:-1].transform(oracle[0]), oracle[1])
    classifier.fit(prepared, y, **extra)
    return pipeline


def _refuse_one_class(classifier: Any, y: Any) -> None:
    """Some classifiers raise, others would train a constant: here all of them refuse."""
    if is_classifier(classifier) and y is not None and len(classes := set(map(str, y))) < 2:
        raise ModelError(
            f"the training rows have one class only ({', '.join(sorted(classes)) or 'no row'})",
            where=type(classifier).__name__,
            code="one-class",
            fix="use fewer folds, more recordings, or more labels",
        )
