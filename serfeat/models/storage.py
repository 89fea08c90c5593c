"""Trained pipelines on disk, in formats that cannot run code.

A model is a folder: ``card.json`` (what it is, labels, feature names and fingerprint, versions, the
SHA-256 of every other file) and one file per step of the pipeline: scikit-learn objects through
skops with the fixed list of types below, XGBoost in its own UBJ, networks as safetensors. No pickle
is written or read. Everything is checked before anything is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from serfeat.errors import MissingExtraError, ModelError, SerfeatError
from serfeat.files import committed, sha256

__all__ = ["load_model", "save_model"]

FORMAT = 1

# The only types that a stored step may hold beyond skops' own list of harmless ones.
TRUSTED = (
    "numpy.dtype",
    "serfeat.models.classical.NearestNeighbours",
    "serfeat.models.classical.SupportVectors",
    "serfeat.models.dellaert.MaximumLikelihoodBayes",
    "serfeat.models.gmm.GMMClassifier",
    "serfeat.models.linear.RidgeLogistic",
    "serfeat.models.preparation.FramePreparation",
    "serfeat.models.regression.NearestNeighboursRegressor",
    "serfeat.models.regression.RidgeRegressor",
    "serfeat.models.regression.SupportVectorRegressor",
    "serfeat.models.specialists.SubspaceSpecialists",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
)

_TORCH = {"TorchClassifier": "torch", "TorchRegressor": "torch_regressor"}  # class -> kind of step


def save_model(pipeline: Pipeline, folder: Path, card: Mapping[str, Any]) -> None:
    """Store a fitted pipeline.

    Parameters
    ----------
    pipeline : fitted, made by `serfeat.models.make_model`.
    folder : is made; files in it are replaced one by one, the card last.
    card : anything JSON can hold; `load_model` gives it back.
    """
    steps = [_save_step(name, step, folder) for name, step in pipeline.steps]
    files = {s["file"]: sha256(folder / s["file"]) for s in steps}
    packages = ("serfeat", "numpy", "scikit-learn")
    full = {
        **card,
        "format": FORMAT,
        "steps": steps,
        "files": files,
        "versions": {p: version(p) for p in packages},
    }
    full["sha256"] = _digest(full)
    with committed(folder / "card.json") as temporary:
        temporary.write_text(json.dumps(full, indent=1) + "\n", encoding="utf-8")


def load_model(folder: Path) -> tuple[Pipeline, dict[str, Any]]:
    """Read a pipeline and its card.

    Raises
    ------
    ModelError : no card, an unknown format, a file that is missing or was changed, or one that
        holds a type outside the fixed list.
    """
    path = folder / "card.json"
    if not path.is_file():
        raise ModelError(
            "no card.json, so this is not a stored model",
            where=folder,
            code="not-a-model",
            fix="make one with `serfeat train`",
        )
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = card["format"] == FORMAT
        steps, files = card["steps"], card["files"]
        same = card.pop("sha256") == _digest(card)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"cannot be read ({type(error).__name__})",
            where=path,
            code="bad-card",
            fix="store the model again",
        ) from None
    if known and not same:
        raise ModelError(
            "differs from its checksum", where=path, code="checksum", fix="store or copy it again"
        )
    if not known:
        raise ModelError(
            f"format {card['format']}, expected {FORMAT}", where=path, code="other-format"
        )
    for name, digest in files.items():
        file = _inside(folder, name)
        if not file.is_file() or sha256(file) != digest:
            found = "differs from its checksum" if file.is_file() else "is missing"
            raise ModelError(
                f"{name} {found}", where=folder, code="checksum", fix="store or copy it again"
            )
    loaded = [(s["name"], _load_step(s, _inside(folder, s["file"]), files)) for s in steps]
    return Pipeline(loaded), card


def _save_step(name: str, step: Any, folder: Path) -> dict[str, Any]:
    """Write one step and return what the card says of it."""
    kind = type(step).__name__
    if kind in _TORCH:
        from safetensors.numpy import save_file

        tensors, card = step.state()
        file = f"{name}.safetensors"
        contiguous = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
        with committed(folder / file) as temporary:
            save_file(contiguous, temporary)
        return {"name": name, "kind": _TORCH[kind], "file": file, "card": card}
    if kind == "BoostedTrees":
        file = f"{name}.ubj"
        with committed(folder / file) as temporary:
            temporary.write_bytes(bytes(step.booster_.save_raw("ubj")))
        card = {
            "params": step.get_params(),
            "classes": [str(c) for c in step.classes_],
            "n_features_in": step.n_features_in_,
        }
        return {"name": name, "kind": "xgboost", "file": file, "card": card}
    if kind == "BoostedTreesRegressor":
        file = f"{name}.ubj"
        with committed(folder / file) as temporary:
            temporary.write_bytes(bytes(step.booster_.save_raw("ubj")))
        card = {
            "params": step.get_params(),
            "mean": step.mean_.tolist(),
            "scale": step.scale_.tolist(),
            "flat": bool(step.flat_),
            "n_features_in": step.n_features_in_,
        }
        return {"name": name, "kind": "xgboost_regressor", "file": file, "card": card}
    import skops.io

    file = f"{name}.skops"
    with committed(folder / file) as temporary:
        skops.io.dump(step, temporary)
    return {"name": name, "kind": "skops", "file": file}


def _load_step(step: Mapping[str, Any], file: Path, files: Mapping[str, str]) -> Any:
    if step["file"] not in files:
        raise ModelError(f"{step['file']} has no checksum", where=file, code="checksum")
    try:
        return _read_step(step, file)
    except SerfeatError:
        raise
    except Exception as error:  # four libraries, each with errors of its own
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"cannot be read as {step.get('kind')!r} ({type(error).__name__}: {said})",
            where=file,
            code="bad-step",
            fix="it was not written by serfeat, or is damaged: store the model again",
        ) from None


def _read_step(step: Mapping[str, Any], file: Path) -> Any:
    if step["kind"] == "torch":
        from safetensors.numpy import load_file

        from serfeat.models.torch_classifier import TorchClassifier

        return TorchClassifier.from_state(load_file(file), step["card"])
    if step["kind"] == "torch_regressor":
        from safetensors.numpy import load_file

        from serfeat.models.torch_regressor import TorchRegressor

        return TorchRegressor.from_state(load_file(file), step["card"])
    if step["kind"] == "xgboost_regressor":
        from serfeat.models.regression import BoostedTreesRegressor

        regressor = BoostedTreesRegressor(**step["card"]["params"])
        regressor.n_features_in_ = step["card"]["n_features_in"]
        regressor.mean_ = np.array(step["card"]["mean"])
        regressor.scale_ = np.array(step["card"]["scale"])
        regressor.flat_ = step["card"]["flat"]
        regressor.booster_ = _booster(file)
        return regressor
    if step["kind"] == "xgboost":
        from serfeat.models.classical import BoostedTrees

        model = BoostedTrees(**step["card"]["params"])
        model.classes_ = np.array(step["card"]["classes"])
        model.n_features_in_ = step["card"]["n_features_in"]
        model.booster_ = _booster(file)
        return model
    if step["kind"] == "skops":
        import skops.io

        strangers = sorted(set(skops.io.get_untrusted_types(file=file)) - set(TRUSTED))
        if strangers:
            raise ModelError(
                f"holds the types {', '.join(strangers[:4])}, which are not on serfeat's list",
                where=file,
                code="untrusted-type",
                fix="it was not written by serfeat; do not use it",
            )
        return skops.io.load(file, trusted=list(TRUSTED))
    raise ModelError(f"unknown kind of step {step['kind']!r}", where=file, code="bad-card")


def _booster(file: Path) -> Any:
    """Read trees that XGBoost wrote."""
    try:
        import xgboost
    except ImportError:
        raise MissingExtraError.of("xgboost", "boost", "a stored model xgb") from None
    booster = xgboost.Booster()
    booster.load_model(bytearray(file.read_bytes()))
    return booster


def _digest(card: Mapping[str, Any]) -> str:
    """Checksum of a card without its own ``sha256``."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _inside(folder: Path, name: str) -> Path:
    """Path of a file that a card names: a plain name, never a way out of the folder."""
    if Path(name).name != name or name in {"", ".", ".."}:
        raise ModelError(f"names the file {name!r}", where=folder / "card.json", code="bad-card")
    return folder / name
