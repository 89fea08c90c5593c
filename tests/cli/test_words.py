"""Completion and help: the words that a shell is offered, and how the commands are laid out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from serfeat.cli import app, main, panels, words

EMODB_ENTRIES = {"knn", "gmm", "svm", "svm_full", "svm_serfeat88", "xgb", "mlp", "timnet"}


def tables() -> dict[str, Any]:
    """What the written words must be."""
    from serfeat.denoise import PREPARATIONS
    from serfeat.engines import ENGINES
    from serfeat.exports import FORMATS
    from serfeat.feature_sets import FEATURE_SETS
    from serfeat.functionals import FUNCTIONALS
    from serfeat.imports import MANIFEST_FORMATS, TABLE_FORMATS
    from serfeat.listing import LISTS
    from serfeat.lld import DESCRIPTORS
    from serfeat.lld.backends import BACKENDS
    from serfeat.models import MODELS
    from serfeat.segments import METHODS
    from serfeat.splits import PROTOCOLS
    from serfeat.start import COMPARISONS

    return {
        "lists": LISTS,
        "features": FEATURE_SETS,
        "descriptors": DESCRIPTORS,
        "functionals": FUNCTIONALS,
        "models": MODELS,
        "protocols": PROTOCOLS,
        "export formats": ["auto", *FORMATS],
        "import formats": ["auto", *TABLE_FORMATS, *MANIFEST_FORMATS],
        "backends": BACKENDS,
        "preparations": PREPARATIONS,
        "detectors": METHODS,
        "engines": ENGINES,
        "comparisons": COMPARISONS,
    }


def test_written_words_are_those_of_the_tables() -> None:
    """Seen to fail with a feature set less in `serfeat.cli.words`."""
    for name, table in tables().items():
        assert sorted(words.WORDS[name]) == sorted(dict.fromkeys(table)), f"edit WORDS, {name}"


def complete(*typed: str, shell: str = "bash", folder: Path | None = None) -> list[str]:
    """Ask as a shell does; the last word is the one that is being typed."""
    line = " ".join(("serfeat", *typed))
    asked = {"_SERFEAT_COMPLETE": f"complete_{shell}", "COMP_WORDS": line}
    asked |= {"COMP_CWORD": str(len(typed)), "_TYPER_COMPLETE_ARGS": line}
    code = "from serfeat.cli import script; script()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['serfeat']; {code}"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split() if shell == "bash" else [done.stdout]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("ex",), {"extract", "export"}),
        (("store", "ve"), {"verify"}),
        (("list", "f"), {"features", "functionals", "formats"}),
        (("extract", "x", "--features", "mfcc_d"), {"mfcc_deltas"}),
        (("extract", "x", "--features", "f0,hn"), {"f0,hnr", "f0,hnr_ac"}),
        (("extract", "x", "--functionals", "mean,std,me"), {"mean,std,mean_abs_delta",
                                                           "mean,std,mean_crossing_rate"}),
        (("fetch", "emo"), {"emodb", "emospeech", "emovo", "emozionalmente"}),
        (("export", "t.csv", "--format", "lib"), {"libsvm", "libsvm-xgboost"}),
        (("compare", "emodb_c"), {"emodb_classical_vs_deep"}),
        (("compare", "emodb_classical_vs_deep", "--entry", "svm"),
         {"svm", "svm_full", "svm_serfeat88"}),
        (("train", "emodb_classical_vs_deep", "--entry", ""), EMODB_ENTRIES | {"am_resnet"}),
        (("compare", "emodb_classical_vs_deep", "--set", "tim"), {"timnet."}),
        (("compare", "mi"), {"mine.toml"}),
        (("compare", "mine.toml", "--entry", ""), {"mine"}),
        (("compare", "broken.toml", "--entry", ""), set()),
        (("extract", "x", "--backend", ""), {"praat", "librosa", "opensmile"}),
    ],
)  # fmt: skip
def test_what_is_completed(typed: tuple[str, ...], expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('title = "t"\n[[entries]]\nname = "mine"\n')
    (tmp_path / "broken.toml").write_text("[[entries\n")
    assert set(complete(*typed, folder=tmp_path)) == expected


def test_zsh_is_answered_too() -> None:
    (answer,) = complete("extract", "x", "--features", "mfcc_d", shell="zsh")
    assert "mfcc_deltas" in answer


@pytest.mark.parametrize(("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_completion_is_installed(shell: str, file: str, tmp_path: Path) -> None:
    """The shell finds the script that it is told of, and reads it without a complaint."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['serfeat', '--install-completion', "
         f"'{shell}']; from serfeat.cli import script; script()"],
        env={**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION":
             "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / file).exists()
    scripts = [p for p in tmp_path.rglob("*") if p.is_file() and "COMPLETE" in p.read_text()]
    assert scripts
    if (program := shutil.which(shell)) is not None:
        read = subprocess.run([program, "-n", str(scripts[0])], capture_output=True, check=False)
        assert read.returncode == 0


def test_nothing_heavy_is_loaded_to_complete() -> None:
    """Seen to fail with `from serfeat.feature_sets import FEATURE_SETS` in words.py."""
    code = (
        "import sys, time; sys.argv = ['serfeat']\n"
        "from serfeat.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'torch', 'scipy'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), time.process_time())"
    )
    line = "serfeat extract x --features mfcc_d"
    asked = {"_SERFEAT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "4"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "HEAVY []" in done.stdout, done.stdout
    assert float(done.stdout.split()[-1]) < 1.5  # 0.25 s on a quiet machine


# --- help -----------------------------------------------------------------------------------------


def commands(group: Any = None, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every command with its path."""
    group = group or typer.main.get_command(app)
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        here = (*path, name)
        found += commands(command, here) if hasattr(command, "commands") else [(here, command)]
    return found


@pytest.mark.parametrize(("path", "command"), commands(), ids=lambda x: " ".join(x)
                         if isinstance(x, tuple) else "")  # fmt: skip
def test_every_command_and_option_is_explained(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    for parameter in command.params:
        assert parameter.help or parameter.name == "help", f"{path}: {parameter.name} has no help"


@pytest.mark.parametrize("columns", [80, 40])
def test_help_keeps_to_the_width(columns: int, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for path in [(), ("store",), *(p for p, _ in commands())]:
        assert main([*path, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.startswith("Usage: ")
        longest = max(text.splitlines(), key=len)
        # words that cannot be divided (names of options) may stick out of a narrow page
        assert columns == 40 or len(longest) <= columns, (path, longest)


def test_commands_stand_under_headings(capsys) -> None:
    main(["--help"])
    text = capsys.readouterr().out
    places = [text.index(f"{heading}:") for heading in panels.PANELS]
    assert places == sorted(places)
    for path, _ in commands():
        assert f"\n  {path[0]} " in text, path
    assert "checksum at the end." in " ".join(text.split())  # no sentence is cut


def test_every_command_has_an_example(capsys) -> None:
    ours = {n for names in panels.PANELS.values() for n in names} - {"lab", "stream"}
    for path, command in commands():
        if path[0] in ours:
            assert (command.epilog or "").startswith(f"Example: serfeat {' '.join(path)}"), path
