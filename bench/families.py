"""What each family of features is worth: docs/results/families.md, measured.

    SERFEAT_CORPORA=... python bench/families.py > docs/results/families.md     EMO-DB, all of it
    SERFEAT_CORPORA=... python bench/families.py --corpus ravdess --sets prosody --models svm

Prints Markdown. Held-out speakers; for every set and model: permutation importance (10 repeats),
the model trained without each family, and with each alone, on the same folds; intervals over
speakers. The features are computed once for each set; what lacks a family are its columns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from serfeat.corpora import find_root, read_corpus
from serfeat.explain import (
    ablation,
    ablation_entries,
    explained,
    explained_tables,
    importance,
    narrowed,
)
from serfeat.extract import Extraction, extract
from serfeat.families import families
from serfeat.manifest import Manifest
from serfeat.models import fit, make_model
from serfeat.plan import Entry
from serfeat.splits import folds

PROTOCOL = "leave_one_speaker_out"
REPEATS = 10
OPENING = """Three questions, which are not the same, about {corpus} ({clips} clips, {speakers}
speakers, {labels} emotions), speakers held out one by one. **Permuted**: what the UAR of the
trained model loses when a family's columns are exchanged between the clips of the held-out speaker
(mean of {repeats} permutations): what this model uses. **Without**: what it loses when it is
trained again without the family: what only this family tells. **Alone**: the UAR of the model
trained on this family and nothing else (chance is {chance:.1f}). All in points of UAR, with 95 %
intervals over speakers; bold where the interval of a loss excludes 0. Families overlap: MFCC, LPC,
PLP and formants describe one spectrum, so that a family can tell much alone and be worth nothing to
drop; and of twenty intervals one excludes 0 by chance. A permutation makes clips that do not exist
(one clip's formants under another's MFCC) and can overstate a family for it.
"""


def predictions_of(
    entry: Entry, whole: Extraction, manifest: Manifest, *, explain: bool
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Predictions of one entry on all folds, and its parts of the table of importances."""
    features = whole if entry.features == whole.features.name else narrowed(whole, entry.features)
    X: Any = features.values
    rows = manifest.rows.reset_index()
    y, speakers = rows["emotion"].to_numpy(), rows["speaker"].to_numpy()
    groups = families(features.features.columns(entry.level))
    predicted, tables = np.empty(len(y), dtype=object), []
    for fold in folds(manifest.rows, PROTOCOL)[0]:
        model = make_model(entry.model, **entry.params)
        fit(model, X[fold.train], y[fold.train], speakers[fold.train])
        predicted[fold.test] = model.predict(X[fold.test])
        if explain:
            said = explained(model, X[fold.test], groups, repeats=REPEATS)
            key = {"entry": entry.name, "protocol": PROTOCOL, "fold": fold.name, "seed": 0}
            tables.append(explained_tables(said, rows, fold.test, key=key)["importance"])
    about = {"entry": entry.name, "protocol": PROTOCOL, "seed": 0, "control": False}
    named = rows[["file", "start", "end", "corpus", "speaker"]]
    return named.assign(truth=y, prediction=predicted, **about), tables


def measured(entry: Entry, whole: Extraction, manifest: Manifest) -> Iterator[str]:
    """The section of one entry."""
    made, tables = [], []
    begun = time.process_time()
    for each in ablation_entries(entry):
        predictions, own = predictions_of(each, whole, manifest, explain=each == entry)
        made.append(predictions)
        tables += own
    table = ablation(pd.concat(made), entry.name, PROTOCOL, labels=manifest.labels)
    full = table.iloc[0]
    drops = importance(pd.concat(tables), labels=manifest.labels).set_index("family")
    without, only = (
        table[table["kind"] == kind].set_index("family") for kind in ("without", "only")
    )
    columns = families(whole.features.columns(entry.level))
    yield f"\n## {entry.model} on {entry.features}\n"
    yield (
        f"UAR {100 * full['uar']:.1f} ({100 * full['low']:.1f} to {100 * full['high']:.1f}) on all "
        f"{sum(map(len, columns.values()))} columns; {time.process_time() - begun:.0f} s.\n"
    )
    yield "| family | columns | permuted | without | alone |\n|---|---|---|---|---|"
    for family, d in drops.iterrows():
        w, o = without.loc[family], only.loc[family]
        yield (
            f"| {family} | {len(columns[family])} | {loss(d['drop'], d['low'], d['high'])} "
            f"| {loss(w['loss'], w['loss_low'], w['loss_high'])} "
            f"| {100 * o['uar']:.1f} ({100 * o['low']:.1f} to {100 * o['high']:.1f}) |"
        )


def loss(value: float, low: float, high: float) -> str:
    """A loss in points with its interval, bold where that excludes 0."""
    if np.isnan(low):
        return f"{100 * value:+.1f}"
    words = f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"**{words}**" if low > 0 or high < 0 else words


def main() -> None:
    """Extract, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", default="emodb")
    parser.add_argument("--sets", nargs="+", default=["classic", "full"])
    parser.add_argument("--models", nargs="+", default=["svm", "xgb"])
    parser.add_argument("--jobs", type=int, default=1, help="processes that extract features")
    chosen = parser.parse_args()
    manifest = read_corpus(chosen.corpus, find_root(chosen.corpus))
    extractions = {
        name: extract(manifest, name, level="functionals", jobs=chosen.jobs) for name in chosen.sets
    }
    first = next(iter(extractions.values()))
    manifest = replace(manifest, rows=manifest.rows.loc[manifest.rows.index.isin(first.index)])
    print(f"# What each family of features is worth: {chosen.corpus}\n")
    print(
        f"    python bench/families.py --corpus {chosen.corpus} --sets {' '.join(chosen.sets)} ",
        end="",
    )
    print(f"--models {' '.join(chosen.models)}\n")
    words = OPENING.format(
        corpus=chosen.corpus,
        clips=len(manifest.rows),
        speakers=manifest.rows["speaker"].nunique(),
        labels=len(manifest.labels),
        repeats=REPEATS,
        chance=100 / len(manifest.labels),
    )
    print(words)
    print(
        f"serfeat {version('serfeat')}, scikit-learn {version('scikit-learn')}; default settings."
    )
    for name, whole in extractions.items():
        for model in chosen.models:
            for line in measured(Entry(model, model, name), whole, manifest):
                print(line, flush=True)


if __name__ == "__main__":
    main()
