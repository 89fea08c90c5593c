"""Features and files do not know the language of the machine.

In German a half is "0,5", in Turkish the capital of "i" is none of ASCII's. The C library follows
the locale once a program asks it to (`setlocale`), and any library may do that; so the script below
asks for all of it, before anything else is loaded. A locale that the system lacks is made of its
sources by `localedef`, in a folder of this test's own; where that is impossible too, its test is
skipped and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOCALES = {"de_DE.UTF-8": ",", "tr_TR.UTF-8": ",", "C.UTF-8": "."}  # name -> decimal sign

SCRIPT = """
import json, locale, sys
found = locale.setlocale(locale.LC_ALL, "")  # in the workers as well, which read this again
from pathlib import Path
from serfeat.cli import main
from serfeat.exports import FORMATS

if __name__ == "__main__":
    print(json.dumps([found, locale.localeconv()["decimal_point"]]))
    manifest, out = sys.argv[1], Path(sys.argv[2])
    words = ["extract", manifest, "--features", "f0,energy", "--quiet"]
    assert main([*words, "-o", str(out / "t.parquet")]) == 0
    assert main([*words, "-o", str(out / "t.csv")]) == 0
    for name in ("arff", "libsvm", "csv-opensmile", "csv-spreadsheet", "npz"):
        place = out / (name + FORMATS[name].suffixes[0])
        given = ["--format", name, "--manifest", manifest]
        assert main(["export", str(out / "t.parquet"), "-o", str(place), *given]) == 0
    assert main(["import", str(out / "arff.arff"), "-o", str(out / "back.csv")]) == 0
    recipe = out / "r.toml"
    recipe.write_text(
        'title = "t"\\n[corpus]\\nmanifest = ' + json.dumps(manifest) + '\\n'
        '[run]\\nseeds = [0]\\n[[protocols]]\\nname = "leave_one_speaker_out"\\n'
        '[[entries]]\\nname = "ridge"\\nmodel = "ridge"\\nfeatures = "energy"\\n'
        'params = { alpha = 0.5 }\\n', encoding="utf-8"
    )
    words = ["compare", str(recipe), "-o", str(out / "run"), "--quiet", "--no-listen"]
    assert main([*words, "--jobs", "1", "--set", "ridge.alpha=0.25"]) == 0
    shown = locale.str(0.5)  # it is still what it was: nobody has set it back
    print(json.dumps([shown]))
"""

# Of what a run writes, all that does not tell the time.
FILES = (
    *("t.parquet", "t.csv", "arff.arff", "libsvm.svm", "back.csv"),
    *("csv-opensmile.csv", "csv-spreadsheet.csv", "npz.npz"),
    *("run/predictions.parquet", "run/rows.parquet", "run/folds.json", "run/lint.json"),
)


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory):
    """Return what gives the variables under which a locale is there, or skips."""
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    there = {line.lower().replace("-", "") for line in listed.split()}
    folder = tmp_path_factory.mktemp("locales")

    def variables(name: str) -> dict[str, str]:
        if name.lower().replace("-", "") in there:
            return {"LC_ALL": name}
        language, _, charset = name.partition(".")
        if shutil.which("localedef") is None:
            pytest.skip(f"NOT TESTED under {name}: neither `locale -a` nor `localedef` has it")
        if not (folder / name).is_dir():
            made = ["localedef", "-i", language, "-f", charset, str(folder / name)]
            done = subprocess.run(made, capture_output=True, text=True, check=False)
            if not (folder / name).is_dir():
                pytest.skip(f"NOT TESTED under {name}: localedef says {done.stderr.strip()[:200]}")
        return {"LC_ALL": name, "LOCPATH": str(folder)}

    return variables


def made_under(variables: dict[str, str], manifest: Path, out: Path) -> tuple[list[str], dict]:
    """What the locale says of itself, and the digests of what was made under it."""
    out.mkdir()
    (out / "script.py").write_text(SCRIPT)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LC_") and k != "LANG"}
    done = subprocess.run(
        [sys.executable, str(out / "script.py"), str(manifest), str(out)],
        env={**clean, "SERFEAT_CACHE": str(out / "store"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    digests = {n: hashlib.sha256((out / n).read_bytes()).hexdigest() for n in FILES}
    return [*said[0], *said[-1]], digests


@pytest.fixture(scope="module")
def plain(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What is made under the locale "C", where Python itself sees to UTF-8."""
    _, made = made_under({"LC_ALL": "C"}, tiny, tmp_path_factory.mktemp("plain") / "out")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", LOCALES)
def test_the_same_bytes(name: str, surroundings, plain: dict, tiny: Path, tmp_path: Path) -> None:
    """Features, tables in six formats, one read back, a comparison: all as under "C"."""
    said, made = made_under(surroundings(name), tiny, tmp_path / "out")
    assert said[1] == LOCALES[name], f"{name} was not set: {said}"
    assert said[2] == f"0{LOCALES[name]}5"
    assert made == plain
