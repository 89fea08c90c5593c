"""A pretrained encoder under a support vector machine, on EMO-DB, speakers held out.

    SERFEAT_CORPORA=... python bench/encoder.py DIR            layer 2, as in the table of its card
    SERFEAT_CORPORA=... python bench/encoder.py DIR --layers   every layer

DIR is a directory with an encoder, as `serfeat.encoders` reads it. The mean and the standard
deviation over time of one layer's states, z-scored on the training speakers; leave one speaker out;
UAR is the mean recall of the 7 emotions over the pooled predictions. The features are computed anew
(in a store of their own) and timed: CPU seconds of this process, reading, log-mel and functionals
included. Set OMP_NUM_THREADS=1 for a figure per core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serfeat.corpora import find_root, read_corpus
from serfeat.encoders import load_encoder
from serfeat.extract import extract
from serfeat.manifest import Manifest
from serfeat.metrics import uar
from serfeat.splits import folds
from serfeat.types import Floats32

MACHINES = {
    'SVC(kernel="linear", C=1)': {"kernel": "linear", "C": 1.0},
    'SVC(C=5, class_weight="balanced"), RBF': {"C": 5.0, "class_weight": "balanced"},
}


def recall(manifest: Manifest, values: Floats32, params: dict[str, object]) -> float:
    """UAR over the pooled predictions of all folds."""
    emotions = manifest.rows["emotion"].to_numpy(dtype=str)
    predicted = np.empty_like(emotions)
    for fold in folds(manifest.rows, "leave_one_speaker_out")[0]:
        machine = make_pipeline(StandardScaler(), SVC(**params))
        machine.fit(values[fold.train], emotions[fold.train])
        predicted[fold.test] = machine.predict(values[fold.test])
    return uar(emotions, predicted, manifest.labels)


def main() -> None:
    """Extract, cross-validate, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("encoder", help="directory, or name on the Hugging Face hub")
    parser.add_argument("--layers", action="store_true", help="every layer, not the second only")
    chosen = parser.parse_args()
    manifest = read_corpus("emodb", find_root("emodb"))
    begun = time.process_time()
    encoder = load_encoder(chosen.encoder)
    print(f"{encoder.kind}, {encoder.n_layers} layers, on {encoder.device}; torch "
          f"{version('torch')}, transformers {version('transformers')}, scikit-learn "
          f"{version('scikit-learn')}")  # fmt: skip
    print(f"loading: {time.process_time() - begun:.1f} CPU seconds, libraries included")
    print("| layer | classifier | UAR | CPU seconds to embed | of audio |\n|---|---|---|---|---|")
    for layer in range(encoder.n_layers + 1) if chosen.layers else [2]:
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            made = extract(manifest, f"encoder:{chosen.encoder}@{layer}", store=Path(folder))
        seconds = time.process_time() - begun
        for name, params in MACHINES.items():
            score = recall(manifest, made.values, params)
            audio = f"{made.seconds_of_audio:.1f} s"
            print(f"| {layer} | {name} | {score:.3f} | {seconds:.1f} | {audio} |", flush=True)


if __name__ == "__main__":
    main()
