"""Lint of a recipe or of a stored run: what there is on disk, brought before `serfeat.lint`.

A recipe is linted before anything is trained: its manifest, its folds, its features (from the
store, or computed), its recordings (decoded once, for digests and near-duplicates). A run is linted
from its folder alone, with what the lint of its comparison said of features and audio, which the
folder does not hold.

Contents
--------
`lint_recipe`, `lint_run` : findings.
`lint_any`                : either, as lines or JSON, and an exit code: the command's body.
`recordings`              : what each recording is like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import USUAL, Limits
from serfeat.compare.features import extract_all
from serfeat.compare.reading import FINDING, read_folds, read_lint, read_record
from serfeat.compare.seal import changed
from serfeat.errors import SplitError, StoreError
from serfeat.files import passing_folder
from serfeat.lint import (
    LINTS,
    UNSEEN,
    Contender,
    Division,
    Evidence,
    Finding,
    Sides,
    as_json,
    as_text,
    clean,
    evidence_of_comparison,
    gravest_first,
    lint,
    unseen,
)
from serfeat.listening import recordings
from serfeat.manifest import Manifest
from serfeat.plan import Plan
from serfeat.protocols.twins import twins_of
from serfeat.recipe import find_recipe, read_recipe
from serfeat.splits import PROTOCOLS, Fold, folds
from serfeat.store import cache_folder, read_parquet
from serfeat.types import Report, silent

__all__ = ["lint_any", "lint_recipe", "lint_run", "recordings"]

_Folds = dict[str, tuple[list[Fold], str]]

# What a run's folder does not hold (features, and how near two recordings are to each other): these
# findings come from the lint of the comparison itself.
_HIDDEN = UNSEEN["features-unseen"] | {"near-identical-audio"}


def lint_recipe(
    recipe: str | Path,
    *,
    root: Path | None = None,
    jobs: int = 1,
    store: Path | None = None,
    listen: bool = True,
    report: Report = silent,
    limits: Limits = USUAL,
    max_missing: int | float | None = None,
    encoding: str = "utf-8",
    follow: bool = False,
) -> list[Finding]:
    """Lint what a recipe would run.

    Parameters
    ----------
    recipe : path of a TOML file, or the name of a shipped recipe.
    root : folder of the corpus, where it is not found by itself.
    jobs, store : of the extraction.
    listen : decode the recordings, to find equal and nearly equal ones.
    report : is called with (stage, done, total).
    limits, max_missing : of the recordings, see `serfeat.extract.extract`.
    encoding, follow : of manifests, and whether links may lead out of the folder of the audio.

    Raises
    ------
    RecipeError, ManifestError, UnknownNameError, FeatureError : it cannot be read or run.
    SplitError : folds that cannot be made; folds that break their promise are findings.
    """
    path = find_recipe(str(recipe))
    read = read_recipe(path)
    plan = read.plan(folder=path.parent)
    manifest = read.manifest(path, root=root, encoding=encoding, follow=follow)
    broken, plan, folds_of = _folds(manifest, plan)
    # What is heard otherwise (augmented, under a condition) is none of the lint's business.
    bare = replace(plan, conditions=(), entries=[replace(e, augment={}) for e in plan.entries])
    with passing_folder(store or cache_folder()) as work:
        extractions = extract_all(
            manifest, bare, jobs, store, report, mapped=work, limits=limits, max_missing=max_missing
        )
        facts, twins = None, []
        if listen:
            facts = recordings(manifest, report, limits=limits)
            found = twins_of(manifest, jobs=jobs, limits=limits)
            twins = [(t.first, t.second) for t in found]
        evidence = evidence_of_comparison(
            manifest.rows, plan, folds_of, extractions, recordings=facts, twins=twins
        )
        unheard = [] if listen else [unseen("audio-unseen", str(recipe))]
        return broken + lint(evidence) + unheard


def _folds(manifest: Manifest, plan: Plan) -> tuple[list[Finding], Plan, _Folds]:
    """The folds; a protocol whose folds break a promise is a finding and is left out."""
    broken, kept, made = [], [], {}
    kinds = {"row": "rows", "speaker": "speakers", "session": "sessions", "text": "texts"}
    for p in plan.protocols:
        try:
            made[p.key] = folds(
                manifest.rows,
                p.name,
                seed=plan.fold_seed,
                disjoint=tuple(plan.disjoint),
                **p.params,
            )
            kept.append(p)
        except SplitError as error:
            if not error.code.endswith("-overlap"):
                raise
            kind = next((k for w, k in kinds.items() if error.code.startswith(w)), "speakers")
            check = LINTS[kind]
            words = f"{error.message}: {check.why}; {check.fix}"
            broken.append(Finding(kind, "leak", error.where, words))
    return broken, replace(plan, protocols=kept), made


# --- a stored run ---------------------------------------------------------------------------------


def lint_run(folder: Path) -> list[Finding]:
    """Lint a stored run.

    Parameters
    ----------
    folder : of the run (see `serfeat.report`).

    Raises
    ------
    StoreError : a part of the folder is missing or cannot be read.
    """
    info, tables, made, before = _read_run(folder)
    rows = _rows(tables)
    evidence = Evidence(
        rows=rows,
        divisions=_divisions(info, made, rows, tables["predictions"]),
        contenders=tuple(_contender(e) for e in info["entries"]),
        predictions=tables["predictions"],
        history=tables.get("history"),
        tuning=tables.get("tuning"),
        scores=_scores(folder),
        changed=changed(folder),
    )
    heard = bool((evidence.text("content") != "").any())
    hidden = _HIDDEN if heard else _HIDDEN | UNSEEN["audio-unseen"]
    found = lint(evidence, kinds=[k for k in LINTS if k not in hidden])
    if before is None:
        return [*found, *(unseen(kind, str(folder)) for kind in UNSEEN)]
    written = [{word: f[word] for word in FINDING} for f in before["findings"]]
    kept = [Finding(**f) for f in written if f["kind"] in hidden | set(UNSEEN)]
    if not heard and "audio-unseen" not in {f.kind for f in kept}:
        kept.append(unseen("audio-unseen", str(folder)))
    return gravest_first([*found, *kept])


def _read_run(
    folder: Path,
) -> tuple[dict[str, Any], dict[str, pd.DataFrame], dict[str, Any], dict[str, Any] | None]:
    """run.json, the tables that are there, folds.json and lint.json."""
    info = read_record(folder)
    try:
        names = ("predictions", "history", "tuning", "rows")
        tables = {n: read_parquet(p) for n in names if (p := folder / f"{n}.parquet").is_file()}
    except (OSError, ValueError) as error:
        raise StoreError(str(error), where=folder, code="unreadable-run") from error
    if "predictions" not in tables:
        raise StoreError(
            "no predictions.parquet",
            where=folder,
            code="incomplete-run",
            fix="run the comparison again",
        )
    return info, tables, read_folds(folder), read_lint(folder)


def _rows(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The run's clips; of a run without rows.parquet, those that were predicted."""
    if "rows" in tables:
        return tables["rows"].reset_index(drop=True)
    predictions = tables["predictions"].rename(columns={"truth": "emotion"})
    first = predictions.drop_duplicates(["file", "start", "end"])
    names = ["file", "start", "end", "corpus", "speaker", "emotion"]
    return first[names].sort_values(["file", "start"], kind="stable").reset_index(drop=True)


def _divisions(
    info: Mapping[str, Any],
    made: Mapping[str, Any],
    rows: pd.DataFrame,
    predictions: pd.DataFrame,
) -> tuple[Division, ...]:
    """The folds; of a run without folds.json: what a fold does not test, it was trained on."""
    found = []
    for protocol in info["protocols"]:
        key = str(protocol["key"])
        known = PROTOCOLS.get(key.partition("(")[0])
        apart: tuple[str, ...] = ("speaker",) if protocol["speaker_independent"] else ()
        apart += (*(known.apart if known else ()), *map(str, info.get("disjoint", ())))
        if key in made:
            sides = [_sides(f, len(rows)) for f in made[key]]
        else:
            sides = _guessed(rows, predictions[predictions["protocol"] == key])
        found.append(Division(key, tuple(sides), tuple(dict.fromkeys(apart))))
    return tuple(found)


def _sides(fold: Mapping[str, Any], n: int) -> Sides:
    parts = [np.array(fold.get(s, []), dtype=np.int64) for s in ("train", "test", "validation")]
    for part in parts:
        if len(outside := part[(part < 0) | (part >= n)]):
            raise StoreError(
                f"folds.json: fold {fold['name']} has row {outside[0]}, expected 0 to {n - 1}",
                code="incomplete-run",
                fix="run the comparison again",
            )
    return Sides(str(fold["name"]), *parts)


def _guessed(rows: pd.DataFrame, predictions: pd.DataFrame) -> list[Sides]:
    file = rows["file"].astype(str) + " " + rows["start"].astype(str)
    sides = []
    for name, part in predictions.groupby("fold", sort=False, observed=True):
        tested = file.isin(part["file"].astype(str) + " " + part["start"].astype(str)).to_numpy()
        sides.append(Sides(str(name), np.flatnonzero(~tested), np.flatnonzero(tested)))
    return sides


def _contender(entry: Mapping[str, Any]) -> Contender:
    params = dict(entry.get("params", {}))
    return Contender(
        name=str(entry["name"]),
        model=str(entry.get("model", "")),
        features=str(entry.get("features", "")),
        params=params,
        normalisation=str(entry.get("normalisation", "global")),
        selection=str(params.get("selection", "last")),
        tuned=bool(entry.get("tune")),
    )


def _scores(folder: Path) -> pd.DataFrame | None:
    """What the run's leaderboard says, if it has one."""
    path = folder / "leaderboard.csv"
    if not path.is_file():
        return None
    try:
        board = pd.read_csv(path)
    except ValueError as error:
        raise StoreError(str(error), where=path, code="unreadable-run") from error
    if not {"protocol", "entry", "control", "uar"} <= set(board):
        return None
    if "condition" in board:
        board = board[board["condition"].fillna("clean") == "clean"]
    for name in ("protocol", "entry"):  # a name that began like a formula carries an apostrophe
        board[name] = board[name].astype(str).str.removeprefix("'")
    return board


# --- the command ----------------------------------------------------------------------------------


def lint_any(
    target: str,
    *,
    root: Path | None = None,
    jobs: int = 1,
    listen: bool = True,
    json_text: bool = False,
    report: Report = silent,
    **taken: Any,
) -> tuple[Sequence[str], int]:
    """Lint a recipe or a run's folder: the body of ``serfeat lint``.

    Parameters
    ----------
    taken : limits, max_missing, encoding and follow of `lint_recipe`.

    Returns
    -------
    The lines to print, and the exit code: 0 clean, 1 a leak. What cannot be linted raises (2).
    """
    folder = Path(target)
    if folder.is_dir():
        found = lint_run(folder)
    else:
        found = lint_recipe(target, root=root, jobs=jobs, listen=listen, report=report, **taken)
    lines = [json.dumps(as_json(found), indent=1)] if json_text else as_text(found)
    return lines, 0 if clean(found) else 1
