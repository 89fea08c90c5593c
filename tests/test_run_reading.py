"""A run's folder that somebody has been at: one line says what is wrong, and nothing falls over."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat.audit import lint_run
from serfeat.cli import main
from serfeat.cli.comparison import _print_lost
from serfeat.compare import compare
from serfeat.compare.reading import read_folds, read_lint, read_record
from serfeat.errors import SerfeatError, StoreError
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.report.page import render
from serfeat.report.run import read_run
from serfeat.runs import compare_runs, list_runs

PLAN = Plan(
    "t",
    [Entry("knn", "knn", "energy,zcr"), Entry("svm", "svm", "energy,zcr")],
    [ChosenProtocol("speaker_kfold", {"n": 2})],
)
FILES = ("run.json", "folds.json", "lint.json")
OTHER: tuple[Any, ...] = (None, 7, -1, 2.5, "x", [], {}, True, [3], {"x": 3}, float("nan"), 10**30)
GONE = object()


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compare(read_manifest(tiny), PLAN, tmp_path_factory.mktemp("run"), listen=False)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs" / "a"))


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within a document; of a list the first two."""
    yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 2)):
            yield from places(value[i], (*place, i))


def changed(document: Any, place: tuple[Any, ...], other: Any) -> Any:
    """A copy with something else in one place, or with nothing there."""
    if not place:
        return None if other is GONE else other
    new = copy.deepcopy(document)
    inner = new
    for key in place[:-1]:
        inner = inner[key]
    if other is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = other
    return new


def read(folder: Path) -> None:
    read_record(folder), read_folds(folder), read_lint(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_word_is_found_or_can_be_shown(run: Path, name: str) -> None:
    """Each place with a dozen other values: refused, or shown by whatever shows runs.

    The readers take every one, the page, lint and the lists a sample of what they let pass. Seen to
    find ten faults in run.json alone before there was `serfeat.compare.reading`.
    """
    document = json.loads((run / name).read_text())
    twin = Path(shutil.copytree(run, run.parent / "b"))
    uses: list[Callable[[], object]] = [
        lambda: render(read_run(run)),
        lambda: lint_run(run),
        lambda: list_runs(run.parent),
        lambda: compare_runs(run, twin),
    ]
    rng, passed, refused = np.random.default_rng(0), [], set()
    for place in places(document):
        for other in (*OTHER, GONE):
            (run / name).write_text(json.dumps(changed(document, place, other)))
            try:
                read(run)
            except StoreError as error:
                refused.add((error.code, error.message.startswith(name)))
            else:
                passed.append((place, other))
    assert refused == {("incomplete-run", True)}
    for i in rng.permutation(len(passed))[:8]:
        (run / name).write_text(json.dumps(changed(document, *passed[i])))
        for use in uses:
            try:
                use()
            except SerfeatError:
                pass
            except Exception as error:
                raise AssertionError((name, *passed[i])) from error


@pytest.mark.parametrize(
    ("name", "place", "other", "words"),
    [
        ("run.json", ("entries", 1, "name"), 3, "run.json: entries[1]: name is a whole number"),
        ("run.json", ("corpus", "rows"), GONE, "run.json: corpus without rows"),
        ("run.json", ("labels",), "anger", "run.json: labels is a text, expected a list"),
        ("run.json", (), [], "run.json is a list, expected names and values"),
        ("run.json", ("protocols", 0, "folds"), True, "folds is true or false, expected a whole"),
        ("folds.json", ("speaker_kfold(2)", 0, "test", 1), None, "test[1] is nothing, expected a"),
        ("lint.json", ("clean",), "yes", "lint.json: clean is a text, expected true or false"),
        ("lint.json", ("findings",), [{"kind": "x", "severity": "bad"}], "findings[0] without"),
    ],
)
def test_one_line_says_where(
    run: Path, name: str, place: tuple[Any, ...], other: Any, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With what stands there and what should; exit code 65 (data), whatever command reads it."""
    document = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps(changed(document, place, other)))
    for command in (["report", str(run)], ["lint", str(run)]):
        capsys.readouterr()
        assert main(command) == 65, command
        said = " ".join(capsys.readouterr().err.split())
        assert words in said, said
        assert "run the comparison again" in said
    row = list_runs(run.parent).iloc[0]
    assert words in row["problem"] if name == "run.json" else row["lint"] == "changed"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b""])
def test_what_is_no_json_is_said(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    with pytest.raises(StoreError, match=name) as caught:
        read(run)
    assert caught.value.code == "unreadable-run"


def test_a_lost_recording_is_json_and_is_told(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen to catch: NaN where a failure has no end, which is no JSON to anybody but Python."""
    shutil.copytree(tiny.parent, tmp_path / "in")
    manifest = read_manifest(tmp_path / "in" / tiny.name)
    (lost, *_) = manifest.rows.index.get_level_values("file")
    manifest.path(lost).write_bytes(b"")
    folder = compare(manifest, PLAN, tmp_path / "out", listen=False)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in run.json")

    record = json.loads((folder / "run.json").read_text(), parse_constant=refuse)
    assert [(f["file"], f["reason"]) for f in record["failures"]] == [(lost, "empty-file")]
    read_record(folder)
    _print_lost(folder)
    assert lost in capsys.readouterr().err
