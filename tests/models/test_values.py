"""Parameters of recipes: what no training could follow is one line, before any work."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import SerfeatError
from serfeat.models import MODELS, _makers, check_model, make_model
from serfeat.models.values import _hints, _words

# Each was a crash of the program, a line after all features were computed, or a silent acceptance.
WRONG = [
    ("mlp", {"hidden": 32}, "hidden is 32, expected a list of whole numbers"),
    ("mlp", {"epochs": "1O"}, "epochs is '1O', expected a whole number"),
    ("mlp", {"epochs": 2.5}, "epochs is 2.5, expected a whole number"),
    ("mlp", {"epochs": True}, "epochs is True, expected a whole number"),
    ("mlp", {"learning_rate": "fast"}, "learning_rate is 'fast', expected a number"),
    ("mlp", {"learning_rate": float("nan")}, "learning_rate is nan, expected more than 0"),
    ("mlp", {"betas": [0.9]}, "betas is [0.9], expected a list of 2 numbers"),
    ("mlp", {"betas": [0.9, 1.0]}, "betas are [0.9, 1.0], expected 0 or more, less than 1"),
    ("mlp", {"schedule": [1, 2]}, "schedule is [1, 2], expected text or a list of lists"),
    ("mlp", {"schedule": [[1]]}, "schedule is [[1]], expected 'cosine' or pairs"),
    ("mlp", {"optimizer": "adm"}, "unknown optimizer 'adm'; did you mean 'adam'"),
    ("mlp", {"weight_decay": -1.0}, "weight_decay is -1.0, expected 0 or more"),
    ("mlp", {"label_smoothing": -1.0}, "label_smoothing is -1.0, expected 0 or more, less than 1"),
    ("mlp", {"dropout": 1.5}, "dropout is 1.5, expected 0 or more, less than 1"),
    ("mlp", {"validation_fraction": 2.0}, "validation_fraction is 2.0, expected a share"),
    ("mlp", {"class_weight": 3}, "class_weight is 3, expected text or a table"),
    ("mlp", {"stages": [{"epochs": "a"}]}, "epochs is 'a', expected a whole number"),
    ("mlp", {"stages": [{"epochs": 0}]}, "epochs is 0, expected at least 1"),
    ("amrwc", {"stages": [{}, {}, {}]}, "3 stages, expected 2 or fewer"),
    ("mlp", {"augment": 3}, "augment is 3, expected a table"),
    ("mlp", {"augment": {"time_masks": 1.5}}, "time_masks is 1.5, expected a whole number"),
    ("am_resnet", {"n_samples": 160, "augment": {"noise": 0.1}}, "the silence of a waveform"),
    ("mlp", {"tasks": ["sex"]}, "tasks is ['sex'], expected a table"),
    ("mlp", {"tasks": {"sex": {"loss": "classes", "wieght": 5}}}, "did you mean 'weight'"),
    (
        "mlp",
        {"tasks": {"sex": {"loss": "classes", "weight": -1}}},
        "is -1, expected a number above",
    ),
    ("mlp", {"tasks": {"emotion": "classes"}}, "'emotion' is what is learnt anyway"),
    ("mlp", {"batch_norm": "yes"}, "batch_norm is 'yes', expected true or false"),
    ("mlp", {"hidden": [0]}, "hidden is [0], expected at least 1"),
    ("mlp", {"checkpoint": "file"}, "unknown parameter of mlp 'checkpoint'"),
    ("lstm", {"bidirectional": "no"}, "bidirectional is 'no', expected true or false"),
    ("lstm", {"layers": 1.5}, "layers is 1.5, expected a whole number"),
    ("timnet", {"filters": 0}, "filters is 0, expected at least 1"),
    ("timnet", {"n_dilations": -1}, "n_dilations is -1, expected at least 1"),
    ("am_resnet", {"fixed_length": -3}, "fixed_length is -3, expected at least 1"),
    ("dcrn", {"n_samples": -1}, "n_samples is -1, expected at least 0"),
    ("dcrn", {"size": "big"}, "size is 'big', expected one of compact, paper"),
    ("dbn", {"pretrain_epochs": 3}, "pretrain_epochs is 3, expected a list of whole numbers"),
    ("svm", {"C": "a"}, "C is 'a', expected a number"),
    ("xgb", {"n_estimators": "many"}, "n_estimators is 'many', expected a whole number"),
]


@pytest.mark.parametrize(("model", "params", "words"), WRONG)
def test_what_cannot_be_is_one_line_before_any_work(model: str, params: dict, words: str) -> None:
    with pytest.raises(SerfeatError) as raised:
        check_model(model, params)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("mlp", {"hidden": (3, 4), "betas": (0.9, 0.99), "learning_rate": 1}),
        ("mlp", {"schedule": [[3, 1e-3], [2, 1e-4]], "stages": [{"epochs": 2}, {}]}),
        ("mlp", {"class_weight": {"anger": 2}, "tasks": {"sex": "classes"}}),
        ("mlp", {"epochs": np.int64(3), "learning_rate": np.float32(0.1)}),
        ("dbn", {"hidden": [4], "pretrain_epochs": [0, 0]}),
        ("cnn1d", {"lstm_units": 0}),
        ("svm", {"C": 3, "gamma": 0.1}),
    ],
)
def test_what_can_be_passes(model: str, params: dict) -> None:
    check_model(model, params)


def test_a_program_may_name_the_file_of_a_training() -> None:
    assert make_model("mlp", checkpoint="file").steps[-1][1].checkpoint == "file"


@pytest.mark.parametrize("name", MODELS)
def test_every_annotation_can_be_checked_and_said(name: str) -> None:
    """A new parameter without one, or of a kind that TOML has no words for, would go unchecked."""
    tasks = ["classification", *(["regression"] if MODELS[name].regressor else [])]
    for task in tasks:
        for maker in _makers(name, task):  # type: ignore[arg-type]
            for word, hint in _hints(maker).items():
                assert word == "return" or _words(hint)


def test_the_models_own_parameters_pass() -> None:
    for name, model in MODELS.items():
        own = {k: v for k, v in model.params.items() if k != "head"}
        check_model(name, own)
