"""`serfeat doctor`: what it says of this machine, and of machines where something is wrong."""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from serfeat import doctor
from serfeat.cli import main
from serfeat.doctor import EXAMINATIONS, EXTRAS, Finding, examine

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def found(area: str) -> dict[str, Finding]:
    return {f.name: f for f in examine((area,))}


def test_extras_are_those_of_the_project() -> None:
    """Seen to fail without `netcdf` in `EXTRAS`."""
    stated = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(stated) - {"all", "dev"}
    for name, extra in EXTRAS.items():
        wanted = {text.split(">")[0] for text in stated[name]}
        assert {p.split("|")[0] for p in extra.packages} == wanted, name


def test_this_machine(capsys, monkeypatch) -> None:
    monkeypatch.delenv("SERFEAT_CORPORA", raising=False)
    code = main(["doctor", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (code == 0) == said["good"]
    assert {f["area"] for f in said["findings"]} == set(EXAMINATIONS)
    for finding in said["findings"]:
        assert set(finding) == {"area", "name", "state", "found", "fix", "value"}
        assert "\n" not in finding["found"] + finding["fix"]
        assert finding["fix"] or finding["state"] != "repair", finding
    code = main(["doctor"])
    out = capsys.readouterr().out
    for finding in said["findings"]:
        assert f"{finding['name']}: " in out


def test_it_is_quick_and_light() -> None:
    """Neither torch nor another heavy back end is imported."""
    code = (
        "import sys, time\nfrom serfeat.doctor import examine\nexamine()\n"
        "heavy = {'torch', 'opensmile', 'parselmouth', 'librosa', 'sklearn', 'numba'}\n"
        "print(sorted(heavy & set(sys.modules)), time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, seconds = done.stdout.rsplit(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < 4.0  # 1.1 s on a quiet machine


def versions(monkeypatch, **others: str | None) -> None:
    """Let packages have other versions than they have."""
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda p: others.get(p.replace("-", "_"), real(p)))


def test_bad_versions_are_refused(monkeypatch) -> None:
    """Also a candidate of one."""
    versions(monkeypatch, skops="0.12.0rc1", starlette="0.45.3", torch="2.5.1", parselmouth="1.1.1")
    states = {n: f.state for n, f in found("refused").items()}
    assert states == dict.fromkeys(["skops", "starlette", "torch", "parselmouth"], "repair")
    versions(monkeypatch, skops="0.13.0", starlette="0.49.1", torch="2.6.0+cpu", parselmouth=None)
    assert {n: f.state for n, f in found("refused").items()} == {"back ends": "good"}


def test_a_package_of_ours_that_is_too_old(monkeypatch) -> None:
    versions(monkeypatch, numpy="1.26.4", soxr=None)
    said = found("versions")
    assert said["numpy"].state == "repair"
    assert "1.26.4, expected >=2.1" in said["numpy"].found
    assert said["numpy"].fix == "pip install 'numpy>=2.1'"


def test_a_missing_extra_says_what_it_gives(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _package: None)
    said = found("extras")
    assert {f.state for f in said.values()} == {"note"}
    assert said["boost"].found == "missing: the model xgb"
    assert said["boost"].fix == "pip install 'serfeat[boost]'"
    assert set(found("licences")) == {"serfeat"}
    assert found("decoders")["ffmpeg (av)"].state == "note"


def test_either_xgboost_will_do(monkeypatch) -> None:
    here = {"xgboost": "3.0.0"}
    monkeypatch.setattr(doctor, "_version", here.get)
    assert found("extras")["boost"].state == "good"


def test_an_old_decoder(monkeypatch) -> None:
    import soundfile

    monkeypatch.setattr(soundfile, "__libsndfile_version__", "1.0.31")
    assert found("decoders")["libsndfile"].state == "repair"
    assert "no MP3" in found("decoders")["libsndfile"].found


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path))
    assert found("disk")["feature cache"].state == "repair"


def test_a_cache_that_is_a_file(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path / "cache"))
    assert found("disk")["feature cache"].state == "repair"


def test_a_cache_and_its_size(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "classic").mkdir()
    (tmp_path / "classic" / "seg-1.parquet").write_bytes(bytes(3_000_000))
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path))
    said = found("disk")["feature cache"]
    assert (said.state, "holds 0.003 GB" in said.found) == ("good", True)


def test_modules_that_each_start_compiles(tmp_path: Path, monkeypatch) -> None:
    """Told where Python keeps nothing and nothing is there, and only then."""
    module = tmp_path / "pandas" / "__init__.py"
    module.parent.mkdir()
    module.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert not list(doctor._bytecode())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (told,) = doctor._bytecode()
    assert told.state == "note"
    assert str(tmp_path) in told.fix
    py_compile.compile(str(module))
    assert not list(doctor._bytecode())


def test_corpora(emodb_root: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SERFEAT_CORPORA", str(emodb_root.parent))
    assert found("corpora")["emodb"].value == str(emodb_root)
    monkeypatch.setenv("SERFEAT_CORPORA", str(tmp_path / "nowhere"))
    assert found("corpora")["SERFEAT_CORPORA"].state == "repair"
    assert main(["doctor"]) == 1
    assert "!! SERFEAT_CORPORA" in capsys.readouterr().out


def test_an_examination_that_fails_is_a_finding(monkeypatch) -> None:
    def broken() -> list[Finding]:
        raise OSError("sndfile library not found")

    monkeypatch.setitem(EXAMINATIONS, "decoders", broken)
    assert found("decoders")["decoders"].state == "repair"


def test_the_build_of_torch_is_read_not_imported(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "version.py").write_text("cuda: Optional[str] = '12.6'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert doctor._torch_build() == "12.6"
    (package / "version.py").write_text("cuda: Optional[str] = None\n")
    assert doctor._torch_build() == ""
