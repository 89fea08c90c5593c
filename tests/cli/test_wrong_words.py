"""A wrong word for every command: one line, the nearest word, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serfeat.cli import main
from serfeat.cli.screen import nearest_name
from serfeat.errors import ManifestError, MissingExtraError

RECIPE = """
title = "mine"
[corpus]
manifest = "mine.csv"
[[protocols]]
name = "{protocol}"
[[entries]]
name = "svm"
model = "{model}"
features = "{features}"
"""

# What is typed -> what the one line must hold.
WRONG = {
    "extrakt": "did you mean 'extract'",
    "store verfy": "did you mean 'verify'",
    "extract {d} --featurs x": "did you mean --features?",
    "extract {d}/own -o {d}/x.csv --features clasic": "did you mean 'classic'?",
    "extract {d}/own -o {d}/x.csv --features f0,hrn": "did you mean 'hnr'?",
    "extract {d}/own -o {d}/x.csv --level ldd": "did you mean 'lld'?",
    "extract {d}/own -o {d}/x.csv --functionals meen": "did you mean 'mean'?",
    "extract {d}/own -o {d}/x.csv --prepare mmsee": "did you mean 'mmse'?",
    "extract {d}/own -o {d}/x.csv --backend prat": "did you mean 'praat'?",
    "extract {d}/own -o {d}/x.csv --engine dsk": "did you mean 'dask'?",
    "extract {d}/own -o {d}/x.csv --jobs many": "--jobs",
    "extract {d}/own -o {d}/x.csv --jobs -1": "--jobs",
    "extract {d}/own -o {d}/x.csv --sr -8000": "--sr",
    "extract {d}/own -o {d}/x.csv --sr 1000": "--sr",
    "extract {d}/own -o {d}/x.csv --max-failures -1": "--max-failures",
    "extract {d}/own -o {d}/x.csv --address x": "--address: the engine processes has no scheduler",
    "extract {d}/own -o {d}/x.csv --level lld --functionals mean": "--functionals: the level lld",
    "extract {d}/own -o {d}/x.csv --level lld --features jitter,duration": "no row per frame",
    "extract {d}/mine.csv -o {d}/mine.csv": "mine.csv: is what the command reads",
    "segment {d}/mine.csv -o {d}/mine.csv": "mine.csv: is what the command reads",
    "agree {d}/mine.csv -o {d}/mine.csv": "mine.csv: is what the command reads",
    "export {d}/mine.csv -o {d}/mine.csv --format csv": "mine.csv: is what the command reads",
    "import {d}/mine.csv -o {d}/mine.csv": "mine.csv: is what the command reads",
    "extract {d}/own -o {d}/x.cvs": "did you mean '.csv'?",
    "extract {d}/onw -o {d}/x.csv": "did you mean {d}/own?",
    "list": "descriptors, features, functionals",
    "list modles": "did you mean 'models'?",
    "corpora --jsn": "did you mean --json?",
    "fetch emobd --yes": "did you mean 'emodb'?",
    "manifest ravdes {d} -o {d}/m2.csv": "did you mean 'ravdess'?",
    "check {d}/mine.cvs": "did you mean {d}/mine.csv?",
    "segment {d}/mine.csv -o {d}/s.csv --method sohm": "did you mean 'sohn'?",
    "agree {d}/mine.csv --backend librossa": "did you mean 'librosa'?",
    "compare {d}/mine.tml": "did you mean {d}/mine.toml?",
    "compare emodb_hed": "emodb_heads",
    "compare {d}/mine.toml --entry svn": "did you mean 'svm'?",
    "compare {d}/mine.toml --set svn.C=1": "did you mean 'svm'?",
    "compare {d}/mine.toml --set svm.kernl=rbf": "did you mean 'kernel'?",
    "compare {d}/mine.toml --corpus emobd": "did you mean 'emodb'?",
    "compare {d}/protocol.toml": "did you mean 'leave_one_speaker_out'?",
    "compare {d}/model.toml": "did you mean 'svm'?",
    "compare {d}/features.toml": "did you mean 'prosody'?",
    "compare {d}/word.toml": "did you mean 'features'?",
    "report {d}/onw": "did you mean {d}/own?",
    "runs {d}/onw": "did you mean {d}/own?",
    "lint {d}/mine.tml": "did you mean {d}/mine.toml?",
    "demo -o {d}/demo --engine prat": "did you mean 'praat'?",
    "export {d}/mine.cvs -o {d}/x.arff": "did you mean {d}/mine.csv?",
    "export {d}/mine.csv -o {d}/x.arff --format arf": "did you mean 'arff'?",
    "import {d}/mine.csv -o {d}/x.csv --format nkululek": "did you mean 'nkululeko'?",
    "import {d}/mine.cvs -o {d}/x.csv": "did you mean {d}/mine.csv?",
    "train {d}/mine.toml --entry svn -o {d}/m": "did you mean 'svm'?",
    "predict {d}/onw {d}/own": "did you mean {d}/own?",
    "distil {d}/wavlm {d}/mine.cvs -o {d}/s": "{d}/",
    "store diff {d}/mine.cvs {d}/mine.csv": "did you mean {d}/mine.csv?",
    "init {d}/onw --yes": "did you mean {d}/own?",
    "init {d}/own --yes --emotion-from foldr:1": "did you mean 'folder:1'?",
    "init {d}/own --yes --compare quik": "did you mean 'quick'?",
    "doctor --jsn": "did you mean --json?",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder of speech, a manifest, recipes with a wrong word each."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "own").symlink_to(tiny.parent)
    (folder / "mine.csv").write_text("file,speaker,emotion\na.wav,1,anger\n")
    good = {"protocol": "leave_one_speaker_out", "model": "svm", "features": "prosody"}
    (folder / "mine.toml").write_text(RECIPE.format(**good))
    for word, wrong in {
        "protocol": "leave_speaker_out",
        "model": "svn",
        "features": "prosdy",
    }.items():
        (folder / f"{word}.toml").write_text(RECIPE.format(**{**good, word: wrong}))
    (folder / "word.toml").write_text(RECIPE.format(**good).replace("features =", "feature ="))
    return folder


@pytest.mark.parametrize("typed", WRONG)
def test_a_wrong_word(typed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seen to fail without `nearest_name` in `main`."""
    assert main([word.format(d=place) for word in typed.split()]) == 2
    said = capsys.readouterr().err
    assert WRONG[typed].format(d=place) in said
    assert said.startswith("serfeat")
    assert said.count("\n") == 1


def test_every_command_has_a_wrong_word() -> None:
    from serfeat.cli.panels import PANELS

    ours = {name for names in PANELS.values() for name in names}
    others = {"lab", "stream", "job-script"}  # tested where they are
    assert {typed.split()[0] for typed in WRONG} >= ours - others


@pytest.mark.parametrize(
    ("word", "module", "extra"),
    [
        ("--backend praat", "serfeat.lld._praat.parselmouth", "praat"),
        ("--backend librosa", "serfeat.lld._librosa.librosa", "librosa"),
    ],
)
def test_a_missing_extra_says_how_to_get_it(
    word: str, module: str, extra: str, place: Path, capsys, monkeypatch
) -> None:
    def missing() -> None:
        raise MissingExtraError.of("package", extra, "this")

    from serfeat.lld import backends

    monkeypatch.setitem(backends._REQUIRE, extra, missing)
    typed = ["extract", f"{place}/own", "-o", f"{place}/x.csv", "--features", "f0", *word.split()]
    assert main(typed) != 0
    assert f"pip install 'serfeat[{extra}]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "\0", "x" * 5000, "no/such/folder/x"])
def test_names_that_no_disk_has(name: str) -> None:
    assert nearest_name(ManifestError("gone", where=name, code="missing")) == ""


def test_what_is_there_needs_no_suggestion(tmp_path: Path) -> None:
    near: Callable[[str, str], str] = lambda name, code: nearest_name(  # noqa: E731
        ManifestError("m", where=tmp_path / name, code=code)
    )
    (tmp_path / "a\x1b[2J.csv").write_text("")
    assert near("a\x1b[2J.csv", "missing") == ""
    assert near("a\x1b[2J.cvs", "bad-value") == ""
    assert near("a[2J.cvs", "missing").endswith("a\\x1b[2J.csv?")
