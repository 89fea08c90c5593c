"""Run folders as a comparison writes them, with random predictions of known quality."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

LABELS = ["anger", "boredom", "fear", "happiness", "neutral"]
HELD, RANDOM = "leave_one_speaker_out", "random_kfold(10)"
# entry -> (kind, accuracy with held-out speakers, accuracy with random folds)
ENTRIES = {
    "knn": ("classical", 0.35, 0.70),
    "svm": ("classical", 0.72, 0.86),
    "mlp": ("deep", 0.66, 0.80),
    "timnet": ("deep", 0.68, 0.90),
}
HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[2Jgnp.wav"


def make_run(
    folder: Path,
    *,
    labels: list[str] = LABELS,
    synthetic: bool = True,
    protocols: tuple[str, ...] = (HELD, RANDOM),
    entries: dict[str, tuple[str, float, float]] = ENTRIES,
    speakers: tuple[str, ...] = tuple(f"{i:02d}" for i in range(8, 18)),
    control: bool = True,
    clips: int = 6,
) -> Path:
    """Write a run folder as the comparison does, with random predictions of known quality."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    clip = [(f"{s}/{x}_{i}.wav", s, x) for s in speakers for x in labels for i in range(clips)]
    frames, costs, history = [], [], []
    skill = {s: rng.normal(0, 0.08) for s in speakers}
    jobs = [(e, p, False) for p in protocols for e in entries]
    jobs += [("svm", p, True) for p in protocols[:1]] if control else []
    for entry, protocol, shuffled in jobs:
        kind, held, known = entries[entry]
        quality = 0.0 if shuffled else held if protocol == HELD else known
        folds = {s: f"speaker {s}" for s in speakers}
        rows = []
        for file, speaker, truth in clip:
            p = rng.dirichlet(np.ones(len(labels)))
            if rng.random() < quality + (skill[speaker] if quality else 0):
                p[labels.index(truth)] += 1.2
                p /= p.sum()
            fold = folds[speaker] if protocol == HELD else str(rng.integers(1, 11))
            rows.append(
                {"file": file, "corpus": "toy"}
                | {"speaker": speaker, "truth": truth, "prediction": labels[int(p.argmax())]}
                | {"entry": entry, "protocol": protocol, "fold": fold, "seed": 0}
                | {"control": shuffled}
                | {f"p_{x}": v for x, v in zip(labels, p, strict=True)}
            )
        start = pd.TimedeltaIndex(np.zeros(len(rows), "timedelta64[ns]"))
        end = pd.TimedeltaIndex(np.full(len(rows), "NaT", "timedelta64[ns]"))
        frames.append(pd.DataFrame(rows).assign(start=start, end=end))
        for fold, part in frames[-1].groupby("fold"):
            key = {"entry": entry, "protocol": protocol, "fold": fold, "seed": 0}
            costs.append(
                key
                | {"control": shuffled, "fit_s": 1.25, "predict_s": 0.01, "n_train": 250}
                | {"n_test": len(part), "n_features": 88, "size_bytes": 1.5e6}
                | {"parameters": 121_733.0 if kind == "deep" else np.nan}
            )
            for epoch in range(1, 31 if kind == "deep" else 1):
                loss = 1.6 * np.exp(-epoch / 9) + 0.05 * rng.random()
                uar = 0.7 - 0.5 * np.exp(-epoch / 6) + 0.02 * rng.normal()
                history.append(
                    key
                    | {"epoch": epoch, "train_loss": loss, "seconds": 0.4}
                    | {"train_accuracy": 1 - loss / 2, "validation_uar": uar}
                )
    pd.concat(frames).to_parquet(folder / "predictions.parquet")
    pd.DataFrame(costs).to_parquet(folder / "costs.parquet")
    pd.DataFrame(history).to_parquet(folder / "history.parquet")
    info = _info(labels, synthetic, protocols, entries, speakers, clips)
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def _info(
    labels: list[str],
    synthetic: bool,
    protocols: tuple[str, ...],
    entries: dict[str, tuple[str, float, float]],
    speakers: tuple[str, ...],
    clips: int,
) -> dict[str, Any]:
    words = {
        HELD: f"Each of the {len(speakers)} speakers is tested by a model that was trained on all "
        "the others.",
        RANDOM: "The clips are dealt into 10 folds at random; the test speakers are in training.",
    }
    return {
        "title": "Classical against deep on the toy corpus",
        "command": "serfeat compare pipelines/toy.toml -o runs/toy",
        "created": "2026-11-22T04:30:00Z",
        "seconds": 312.4,
        "labels": labels,
        "corpus": {
            "name": "toy",
            "title": "Toy corpus",
            "rows": len(speakers) * len(labels) * clips,
            "speakers": len(speakers),
            "seconds_of_audio": 840.0,
            "licence": "CC0-1.0",
            "citation": "Made by the tests.",
            "synthetic": synthetic,
            "counts": {s: dict.fromkeys(labels, clips) for s in speakers},
        },
        "protocols": [
            {"key": p, "speaker_independent": p == HELD, "words": words[p], "folds": 10}
            for p in protocols
        ],
        "entries": [
            {
                "name": e,
                "model": e,
                "kind": kind,
                "features": "classic" if kind == "classical" else "mfcc_39",
                "level": "functionals" if kind == "classical" else "lld",
                "n_columns": 88,
                "licence": "Apache-2.0",
                "params": {"C": 1.0} if e == "svm" else {},
                "words": f"The {kind} entry {e}.",
            }
            for e, (kind, *_) in entries.items()
        ],
        "normalisation": "Columns are scaled by the mean and sd of the training folds.",
        "selection": "The last epoch is used; nothing is chosen on the test fold.",
        "versions": {"serfeat": "0.1.0", "numpy": "2.4.6"},
        "machine": {"cores": 2, "processor": "x86_64", "gpu": None, "os": "Linux"},
        "failures": [
            {
                "file": HOSTILE,
                "start": 0.0,
                "end": 1.5,
                "stage": "decode",
                "reason": "bad-header",
                "message": "no header",
            }
        ],
        "warnings": ["2 clips are shorter than 0.5 s"],
        "extraction": {"seconds_of_audio": 840.0, "seconds": 4.2, "rows": 300, "failures": 1},
    }


@pytest.fixture(scope="session", name="make_run")
def make_run_fixture() -> Callable[..., Path]:
    """`make_run`, for the tests beside this file."""
    return make_run
