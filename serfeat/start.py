"""``serfeat init``: a first recipe from a folder of speech.

Three things have to be known: where the emotions are, who speaks, and what is to be compared. The
first two are read by `serfeat.clues`; this module says what was understood, and writes a manifest
and a recipe that ``serfeat compare`` runs as they are.

Conventions
-----------
Nothing is written before it was shown, and nothing that is there is overwritten. Without speakers
there is no recipe: scores of models that have heard the test voices would be believed. The manifest
is written all the same, with its column of speakers to be filled.

Contents
--------
`COMPARISONS` : what can be compared: name -> words and entries.
`Understood`  : what was understood of a folder.  `understand` reads it, `summary` is for programs.
`write_start` : writes the manifest and the recipe.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serfeat.clues import ONE, Clues, find_clues
from serfeat.corpora import CORPORA
from serfeat.errors import ManifestError, RecipeError, SplitError, did_you_mean, printable
from serfeat.files import committed
from serfeat.manifest import Manifest, rows_from_records
from serfeat.manifest_csv import write_manifest
from serfeat.splits import folds

__all__ = ["COMPARISONS", "Understood", "summary", "understand", "write_start"]

SOME_SPEAKERS = 12  # up to these, each is the test set once


@dataclass(frozen=True)
class Contender:
    """An entry of a recipe; `needs` is the module without which it cannot run, and its extra."""

    name: str
    features: str
    params: str = ""
    needs: tuple[str, str] = ("", "")


_DEEP = ("torch", "deep")
_SVM = Contender("svm", "classic")
_XGB = Contender("xgb", "classic", needs=("xgboost", "boost"))
COMPARISONS: dict[str, tuple[str, tuple[Contender, ...]]] = {
    "quick": ("two classical models, minutes", (_SVM, _XGB)),
    "full": (
        "classical and deep models, an hour and more",
        (
            Contender("knn", "classic"),
            Contender("gmm", "mfcc_deltas"),
            _SVM,
            _XGB,
            Contender("mlp", "classic", "epochs = 60", _DEEP),
            Contender("timnet", "timnet39", "epochs = 60", _DEEP),
            Contender("am_resnet", "timnet39", "epochs = 20", _DEEP),
        ),
    ),
    "head": (
        "two classical models and a deep one, tens of minutes",
        (_SVM, _XGB, Contender("timnet", "timnet39", "epochs = 60", _DEEP)),
    ),
}


@dataclass(frozen=True)
class Understood:
    """What was understood of a folder.

    Parameters
    ----------
    manifest : the recordings with an emotion, and with speakers where there are any.
    clues : where these were found, and what was odd.
    labels : emotions that can be compared; empty: all.
    protocol : TOML of the folds; empty: no comparison is possible.
    remarks : what the user should know, one line each.
    """

    manifest: Manifest
    clues: Clues
    labels: tuple[str, ...]
    protocol: str
    remarks: tuple[str, ...]

    @property
    def emotions(self) -> dict[str, int]:
        """Recordings per emotion."""
        return dict(sorted(Counter(map(str, self.manifest.rows["emotion"])).items()))

    @property
    def speakers(self) -> dict[str, int]:
        """Recordings per speaker; "" is nobody known."""
        return dict(sorted(Counter(map(str, self.manifest.rows["speaker"])).items()))


def understand(
    folder: Path, *, emotion_from: str = "", speaker_from: str = "", table: Path | None = None
) -> Understood:
    """Read a folder of speech; the arguments are those of `serfeat.clues.find_clues`.

    Raises
    ------
    ManifestError, UnknownNameError : see there; fewer than two emotions.
    """
    clues = find_clues(folder, emotion_from=emotion_from, speaker_from=speaker_from, table=table)
    there = sorted(set(clues.emotions) - {""})
    if len(there) < 2:
        raise ManifestError(
            f"only the emotion {there[0]!r} was found" if there else "no emotion was found",
            where=f"{folder}, {clues.emotion_from}",
            code="no-labels",
            fix="a comparison needs two; say where they are with --emotion-from",
        )
    manifest = _manifest(folder, clues)
    labels, protocol, remarks = _folds(manifest)
    return Understood(manifest, clues, labels, protocol, (*_odd(clues), *remarks))


def _manifest(folder: Path, clues: Clues) -> Manifest:
    """The recordings that have an emotion."""
    name = folder.resolve().name or "speech"
    if clues.rows is not None:
        corpus = clues.emotion_from.partition(":")[2]
        return Manifest(clues.rows, folder, corpus, CORPORA[corpus].card).labelled()
    records = [
        {"file": file, "corpus": name, "speaker": speaker, "emotion": emotion}
        for file, emotion, speaker in zip(clues.files, clues.emotions, clues.speakers, strict=True)
        if emotion
    ]
    return Manifest(rows_from_records(records), folder, name)


def _odd(clues: Clues) -> list[str]:
    """Words that are no emotions, each with what is left out because of it."""
    lines = []
    for word, count in clues.odd.items():
        said = repr(word) if word else "nothing"
        lines.append(f"left out: {count} recordings whose {clues.emotion_from} is {said}")
    return lines


def _folds(manifest: Manifest) -> tuple[tuple[str, ...], str, list[str]]:
    """Choose a protocol that these rows support; tried, so that the recipe runs."""
    rows = manifest.rows
    if (rows["speaker"] == "").any():
        unknown = int((rows["speaker"] == "").sum())
        return (), "", [
            f"NO SPEAKER IS KNOWN of {unknown} of {len(rows)} recordings: whether a model works on "
            "someone new cannot be asked. Say who speaks with --speaker-from (folder:1, name:2, "
            "column:speaker), or `one` if it is a single voice"
        ]  # fmt: skip
    remarks = []
    voices = rows.groupby("emotion")["speaker"].nunique()
    labels: tuple[str, ...] = ()
    if rows["speaker"].nunique() > 1 and (voices < 2).any():
        lonely = [str(e) for e in voices.index[voices < 2]]
        labels = tuple(str(e) for e in voices.index[voices > 1])
        remarks.append(f"left out of the comparison: {', '.join(lonely)}, which one speaker has")
        rows = rows[rows["emotion"].isin(labels)]
    n_speakers = rows["speaker"].nunique()
    tries: list[tuple[str, dict[str, Any]]] = []
    if 2 <= n_speakers <= SOME_SPEAKERS:
        tries.append(("leave_one_speaker_out", {}))
    if n_speakers > 2:
        tries.append(("speaker_kfold", {"n": min(5, n_speakers)}))
    if n_speakers == 1:
        least = int(rows["emotion"].value_counts().min())
        remarks.append(
            "ONE SPEAKER: every test voice is heard in training; the scores say how well this "
            "voice is known, not how a model does on another"
        )
        tries.append(("random_kfold", {"n": max(2, min(5, least))}))
    reason = "fewer than two emotions are left" if len(labels) == 1 else ""
    for name, params in tries if not reason else ():
        try:
            folds(rows, name, **params)
        except SplitError as error:
            reason = str(error)
        else:
            extra = "".join(f"{k} = {v}\n" for k, v in params.items())
            return labels, f'[[protocols]]\nname = "{name}"\n{extra}', remarks
    return labels, "", [*remarks, f"NO COMPARISON: {reason}"]


# --- what is written ------------------------------------------------------------------------------


def write_start(
    understood: Understood, recipe: Path, *, compare: str = "quick", force: bool = False
) -> tuple[Path, Path | None, list[str]]:
    """Write the manifest, and a recipe where a comparison is possible.

    Parameters
    ----------
    recipe : TOML to write; the manifest is ``<stem>_speech.csv`` beside it.
    compare : key of `COMPARISONS`.
    force : write over files that are there.

    Returns
    -------
    The manifest, the recipe (None: not possible), and entries that were left out, with the reason.

    Raises
    ------
    UnknownNameError : another comparison.
    RecipeError : the recipe is no .toml, or a file is there already.
    """
    if compare not in COMPARISONS:
        raise did_you_mean("comparison", compare, COMPARISONS)
    if recipe.suffix != ".toml":
        raise RecipeError("not the name of a recipe", where=recipe, code="bad-name", fix="x.toml")
    manifest = recipe.with_name(f"{recipe.stem}_speech.csv")
    for path in (recipe, manifest, manifest.with_suffix(".toml")):
        if path.exists() and not force:
            raise RecipeError(
                "is there already", where=path, code="exists", fix="-o another.toml, or --force"
            )
    write_manifest(understood.manifest, manifest)
    if not understood.protocol:
        return manifest, None, []
    text, left = _recipe(understood, manifest, compare)
    with committed(recipe) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return manifest, recipe, left


def _recipe(understood: Understood, manifest: Path, compare: str) -> tuple[str, list[str]]:
    """TOML of a recipe, and the entries that cannot run here."""
    title = f"{understood.manifest.name}: {compare} comparison"
    parts = [f"title = {_text(title)}", f"[corpus]\nmanifest = {_text(manifest.name)}"]
    if understood.labels:
        parts[-1] += f"\nlabels = {json.dumps(list(understood.labels))}"
    parts += [
        '# the same model on shuffled labels: a score above chance would be a leak\n'
        '[run]\ncontrol = ["svm"]\ncontrol_runs = 3',
        understood.protocol.rstrip(),
    ]  # fmt: skip
    left = []
    for entry in COMPARISONS[compare][1]:
        package, extra = entry.needs
        if package and importlib.util.find_spec(package) is None:
            left.append(f"{entry.name}: pip install 'serfeat[{extra}]'")
            continue
        lines = ["[[entries]]", f'name = "{entry.name}"', f'model = "{entry.name}"']
        lines += [f'features = "{entry.features}"']
        lines += [f"params = {{ {entry.params} }}"] if entry.params else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n", left


def _text(value: str) -> str:
    """A string of TOML, whose escapes are JSON's."""
    return json.dumps(printable(value), ensure_ascii=False)


def summary(understood: Understood) -> Mapping[str, Any]:
    """Return what was understood, for a program."""
    return {
        "emotion_from": understood.clues.emotion_from,
        "speaker_from": understood.clues.speaker_from,
        "emotions": understood.emotions,
        "speakers": {k: v for k, v in understood.speakers.items() if k},
        "one_voice": understood.clues.speaker_from == ONE,
        "odd": dict(understood.clues.odd),
        "remarks": list(understood.remarks),
    }
