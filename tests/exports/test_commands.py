"""The commands: a table goes out in every format, and what others wrote comes in."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from serfeat.cli import main
from serfeat.exports import FORMATS, export_file
from serfeat.store import read_table


@pytest.fixture(scope="module")
def features(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = tmp_path_factory.mktemp("commands") / "f.parquet"
    assert main(["extract", str(tiny), "-o", str(table), "--features", "energy"]) == 0
    return table


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if "functionals" in f.levels])
def test_a_table_goes_out(features: Path, tiny: Path, tmp_path: Path, name: str, capsys) -> None:
    suffixes = FORMATS[name].suffixes
    out = tmp_path / f"out{suffixes[0] if suffixes else ''}"
    words = ["export", str(features), "-o", str(out), "--format", name, "--manifest", str(tiny)]
    assert main(words) == 0, capsys.readouterr().err
    assert out.exists()
    assert f"({name})" in capsys.readouterr().out


def test_arff_comes_back(features: Path, tiny: Path, tmp_path: Path) -> None:
    arff, back = tmp_path / "f.arff", tmp_path / "back.parquet"
    assert main(["export", str(features), "-o", str(arff), "--manifest", str(tiny)]) == 0
    assert main(["import", str(arff), "-o", str(back)]) == 0
    ours, theirs = read_table(features), read_table(back)
    pd.testing.assert_frame_equal(
        ours, theirs[ours.columns], check_dtype=False, rtol=1e-6, check_index_type=False
    )


def test_a_manifest_comes_in(tmp_path: Path, capsys) -> None:
    text = "file,speaker,gender,emotion\na.wav,s1,female,angry\nb.wav,s2,male,neutral\n"
    (tmp_path / "n.csv").write_text(text)
    words = ["import", str(tmp_path / "n.csv"), "-o", str(tmp_path / "m.csv")]
    assert main([*words, "--format", "nkululeko"]) == 0
    assert "2 recordings" in capsys.readouterr().out
    assert "anger" in (tmp_path / "m.csv").read_text()
    assert main([*words, "--format", "nkululek"]) == 2
    assert "did you mean 'nkululeko'" in capsys.readouterr().err
    assert main(["list", "formats"]) == 0


@pytest.mark.parametrize("name", ["arff", "csv", "csv-opensmile", "libsvm-xgboost"])
def test_what_takes_long_says_how_far_it_is(
    features: Path, tmp_path: Path, name: str, monkeypatch, capsys
) -> None:
    """Rows written so far, from none to all of them; with --quiet, nothing."""
    monkeypatch.setattr("serfeat.exports.content.CELLS", 100)
    seen: list[tuple[int, int]] = []
    out = tmp_path / f"out{FORMATS[name].suffixes[0]}"
    export_file(features, out, format=name, progress=lambda *now: seen.append(now))
    assert seen[0] == (0, 24)
    assert seen[-1] == (24, 24)
    assert len(seen) > 3
    assert seen == sorted(seen)
    words = ["export", str(features), "-o", str(out), "--format", name]
    capsys.readouterr()
    assert main(words) == 0
    assert "rows: 24 of 24" in capsys.readouterr().err
    assert main([*words, "-q"]) == 0
    assert capsys.readouterr().err == ""
