"""Exit codes, crash files, --debug: what a script and a person see of an error."""

from __future__ import annotations

from pathlib import Path

import pytest

import serfeat.cli
from serfeat import errors
from serfeat.cli import codes, main
from serfeat.clips import Failure
from serfeat.errors import ManifestError, ModelError, RecipeError, StoreError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("x", code="cannot-create"), 73),
        (StoreError("x", code="disk-full"), 74),
        (StoreError("x", code="damaged"), 75),
        (StoreError("x", code="two-answers"), 65),
        (StoreError("x", code="missing"), 2),
        (ManifestError("x", code="ragged-row"), 65),
        (ManifestError("x", code="no-speaker"), 2),
        (ModelError("x", code="checksum"), 65),
        (ModelError("x"), 2),
        (RecipeError("x", code="unknown-name"), 2),
    ],
)
def test_codes_of_errors(error: errors.SerfeatError, code: int) -> None:
    assert codes.exit_code(error) == code


def test_every_class_of_error_has_a_code() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            assert codes.exit_code(kind("x")) in (codes.USAGE, codes.DATA)


def test_codes_of_failures() -> None:
    """Passing ones alone: the same command goes on."""
    lost, bad = (Failure("f", 0.0, 1.0, "read", reason, "m") for reason in ("crash", "corrupt"))
    assert codes.after_failures([], 0) == 0
    assert codes.after_failures([bad], 1) == 0
    assert codes.after_failures([lost], 0) == 75
    assert codes.after_failures([lost, bad], 0) == 2


def test_a_bug_is_one_line_and_a_file_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", "hf_0123456789")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("with hf_0123456789 in it")

    monkeypatch.setattr(serfeat.cli.audio, "did_you_mean", fails)
    assert main(["list", "nothing"]) == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "this is a bug, please report it" in said
    (file,) = tmp_path.glob("*crash-*.txt")
    text = file.read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "hf_0123456789" not in text
    assert "<HUB_TOKEN>" in text


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_shows_where_anywhere_in_the_command(place: int) -> None:
    words = ["list", "nothing"]
    words.insert(place, "--debug")
    with pytest.raises(errors.UnknownNameError):
        main(words)
    assert main(["list", "--", "--debug"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["manifest", "folders", "{in}", "-o", "{out}"],
        ["segment", "{in}/m.csv", "-o", "{out}"],
        ["extract", "{in}", "-o", "{out}.csv"],
        ["export", "{in}/t.csv", "-o", "{out}.arff"],
        ["import", "{in}/t.arff", "-o", "{out}.csv"],
        ["demo", "-o", "{out}"],
        ["compare", "demo", "-o", "{out}"],
        ["train", "demo", "--entry", "svm", "-o", "{out}"],
        ["predict", "{in}", "{in}", "-o", "{out}.csv"],
        ["store", "merge", "{in}", "-o", "{out}"],
    ],
    ids=lambda w: w[0],
)
def test_every_command_that_writes_looks_at_its_output_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """A file stands where the folder should be: exit code 73, before anything is read."""
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    given = [
        w.replace("{in}", str(tmp_path / "in")).replace("{out}", str(tmp_path / "file" / "x"))
        for w in words
    ]
    assert main(given) == 73, capsys.readouterr().err
    assert "cannot write here" in capsys.readouterr().err
