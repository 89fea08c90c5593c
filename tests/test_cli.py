"""The commands as a user types them: what they print, what they leave behind, how they fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serfeat.cli import main
from serfeat.store import read_metadata


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


RECIPE = """
title = "tiny"
[corpus]
manifest = "{manifest}"
[run]
control = ["svm"]
control_runs = 2
[[protocols]]
name = "leave_one_speaker_out"
[[protocols]]
name = "random_kfold"
n = 3
[[entries]]
name = "svm"
model = "svm"
features = "prosody"
[[entries]]
name = "mlp"
model = "mlp"
features = "prosody"
params = {{ epochs = 2 }}
"""


@pytest.mark.parametrize(
    "what", ["descriptors", "features", "functionals", "models", "protocols", "corpora"]
)
def test_list(capsys, what: str) -> None:
    code, out, _ = run(capsys, "list", what)
    assert code == 0
    assert len(out.splitlines()) >= 5


def test_version_and_help(capsys) -> None:
    assert run(capsys, "--version")[1].startswith("serfeat ")
    assert "compare" in run(capsys, "--help")[1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_extract_a_folder(capsys, tiny: Path, tmp_path: Path, suffix: str) -> None:
    code, out, err = run(
        capsys, "extract", tiny.parent, "--features", "prosody", "-o", tmp_path / f"t.{suffix}"
    )
    assert code == 0, err
    assert out.startswith("24 clips")
    assert (tmp_path / f"t.{suffix}").exists()


def test_a_folder_with_a_manifest_is_read_through_it(capsys, tiny: Path, tmp_path: Path) -> None:
    where = tmp_path / "t.parquet"
    code, out, _ = run(capsys, "extract", tiny.parent, "--features", "prosody", "-o", where)
    assert code == 0
    assert "SYNTHETIC SPEECH" in out
    assert read_metadata(where)["provenance"]["corpus"]["synthetic"] is True


def test_extract_lld(capsys, tiny: Path, tmp_path: Path) -> None:
    where = tmp_path / "t.csv"
    code, _, err = run(
        capsys, "extract", tiny, "--features", "prosody", "--level", "lld", "-o", where
    )
    assert code == 0, err
    table = pd.read_csv(where)
    assert list(table.columns[:5]) == ["file", "start", "end", "time", "f0_hz"]
    assert table["time"].iloc[1] == pytest.approx(0.01)
    assert table["f0_hz"].isna().any()  # unvoiced is empty, never 0
    assert (table["f0_hz"].dropna() > 50).all()


@pytest.mark.parametrize("option", [(), ("--prepare", "mmse")], ids=["none", "another"])
def test_a_set_keeps_its_own_preparation(capsys, tmp_path: Path, option: tuple[str, ...]) -> None:
    """Seen to fail: MADD belongs to `waveform`, and was dropped where no --prepare was given."""
    sf.write(
        tmp_path / "a.wav",
        np.r_[np.zeros(8_000), 0.1 * np.random.default_rng(0).standard_normal(8_000)],
        16_000,
    )
    where = tmp_path / "t.csv"
    code, _, err = run(
        capsys, "extract", tmp_path / "a.wav", "--features", "waveform", "-o", where, *option
    )
    assert code == 0, err
    assert read_metadata(where)["provenance"]["prepare"] == ([option[1]] if option else ["madd"])


def test_bad_input_is_one_line_and_code_2(capsys, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    sf.write(tmp_path / "good.wav", tone, 16_000)
    good = (tmp_path / "good.wav").read_bytes()
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "half.wav").write_bytes(good[: len(good) // 2])
    sf.write(tmp_path / "short.wav", tone[:50], 16_000)
    sf.write(tmp_path / "nan.wav", np.r_[tone, np.nan], 16_000, subtype="FLOAT")
    (tmp_path / "nobody.csv").write_text("file,emotion\ngood.wav,anger\n")
    recipe = RECIPE.format(manifest="nobody.csv")
    (tmp_path / "nobody.toml").write_text(recipe)
    (tmp_path / "typo.toml").write_text(recipe.replace("[[entries]]", "[[entrys]]", 1))
    (tmp_path / "side.toml").write_text('[manifest]\nroot = "."\n')
    out = tmp_path / "out.csv"
    cases = {
        ("extract", tmp_path / "absent.wav", "-o", out): "no such file",
        ("extract", tmp_path / "absent.csv", "-o", out): "absent.csv",
        ("extract", tmp_path / "empty.wav", "-o", out): "empty (0 bytes)",
        ("extract", tmp_path / "half.wav", "-o", out): "truncated",
        ("extract", tmp_path / "short.wav", "-o", out): "expected at least 25 ms",
        ("extract", tmp_path / "nan.wav", "-o", out): "NaN or infinite",
        ("extract", tmp_path / "good.wav", "-o", tmp_path / "x.xls"): ".xls",
        ("extract", tmp_path / "good.wav", "-o", out, "--features", "egemap"): "'egemaps'",
        ("compare", tmp_path / "absent.toml"): "no such recipe",
        ("compare", tmp_path / "typo.toml"): "did you mean 'entries'",
        ("compare", tmp_path / "nobody.csv"): "not a recipe",
        ("compare", tmp_path / "side.toml"): "side-car of a manifest",
        ("compare", tmp_path / "nobody.toml", "-o", tmp_path / "r"): "speaker",
        ("predict", tmp_path, tmp_path / "good.wav"): "no card.json",
        ("list", "modles"): "did you mean 'models'",
        ("manifest", "emobd", tmp_path, "-o", out): "did you mean 'emodb'",
    }
    for arguments, message in cases.items():
        code, _, err = run(capsys, *arguments)
        assert code == 2, (arguments, err)
        assert message in err, (arguments, err)
        assert "Traceback" not in err
        lines = [x for x in err.splitlines() if x.startswith(("serfeat:", "failed"))]
        assert len(lines) == 1, err
    code, out_text, err = run(capsys, "extract", tmp_path, "-o", out, "--features", "prosody")
    assert code == 2  # some failed, the good one is there
    assert "1 clips" in out_text
    assert len(pd.read_csv(out)) == 1
    assert len(pd.read_csv(tmp_path / "out.failures.csv")) == 4
    code, _, _ = run(
        capsys, "extract", tmp_path, "-o", out, "--features", "prosody", "--max-failures", "9"
    )
    assert code == 0
    code, out_text, _ = run(capsys, "extract", tmp_path / "empty.wav", "-o", out)
    assert f"nothing written; {out} is of an earlier run" in " ".join(out_text.split())
    code, _, err = run(capsys, "extract", tmp_path / "good.wav", "-o", out, "--features", "jitter")
    assert code == 0, err
    assert pd.read_csv(out).shape == (1, 3 + 5)
    assert not list(tmp_path.glob("out.failures*"))  # of the runs before


def test_compare_train_predict(capsys, tiny: Path, tmp_path: Path) -> None:
    """From a recipe to a page, to a model, to the emotion of a file."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(manifest=tiny))
    code, out, err = run(capsys, "compare", recipe, "-o", tmp_path / "run", "-j", 1)
    assert code == 0, err
    assert "SYNTHETIC SPEECH" in out
    assert "SPEAKER-DEPENDENT" in out
    assert "shuffled labels" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "SYNTHETIC" in page
    code, out, err = run(
        capsys, "train", recipe, "--entry", "svm", "-o", tmp_path / "model", "-j", 1
    )
    assert code == 0, err
    wav = sorted(tiny.parent.rglob("*anger*.wav"))[0]
    code, out, err = run(capsys, "predict", tmp_path / "model", wav, "-o", tmp_path / "p.csv")
    assert code == 0, err
    name, label, chances = out.strip().split("\t")
    assert name == wav.name
    assert label in {"anger", "neutral", "sadness"}
    assert f"{label} 0." in chances or f"{label} 1." in chances
    assert pd.read_csv(tmp_path / "p.csv").loc[0, "prediction"] == label
    code, _, err = run(capsys, "train", recipe, "--entry", "svn", "-o", tmp_path / "m2")
    assert (code, "did you mean 'svm'" in err) == (2, True)


def test_hostile_names_stay_on_their_line(capsys, tiny: Path, tmp_path: Path) -> None:
    train_recipe = tmp_path / "tiny.toml"
    train_recipe.write_text(RECIPE.format(manifest=tiny))
    run(capsys, "train", train_recipe, "--entry", "svm", "-o", tmp_path / "model", "-j", 1)
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    sf.write(tmp_path / "a\nb\x1b[2J[red]<img>.wav", tone, 16_000)
    (tmp_path / "bad\n.wav").write_bytes(b"")
    code, out, err = run(capsys, "predict", tmp_path / "model", *sorted(tmp_path.glob("*.wav")))
    assert code == 2
    assert out.count("\n") == 1
    assert out.startswith("a\\nb\\x1b[2J[red]<img>.wav\t")
    failed, note = (line for line in err.splitlines() if not line.startswith("clips: "))
    assert failed.startswith("failed (empty-file): ")
    assert "SYNTHETIC SPEECH" in note


def test_manifest_and_check(capsys, emodb_root: Path, tmp_path: Path) -> None:
    where = tmp_path / "emodb.csv"
    code, out, err = run(capsys, "manifest", "emodb", emodb_root, "-o", where)
    assert code == 0, err
    assert out.startswith("535 rows, 10 speakers, 7 emotions")
    code, out, err = run(capsys, "check", where)
    assert code == 0, err
    assert "535 utterances" in out


def test_a_cut_emodb_is_refused(capsys, emodb_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut" / "wav"
    folder.mkdir(parents=True)
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::12]:
        x, sr = sf.read(file)
        sf.write(folder / f"{file.stem}.wav", np.resize(x, 2 * sr), sr)
    run(capsys, "manifest", "emodb", folder.parent, "-o", tmp_path / "m.csv")
    code, _, err = run(capsys, "check", tmp_path / "m.csv")
    assert code == 2
    assert "error: all 45 files last exactly 2.000 s" in err


def test_fetch_without_download_gives_the_steps(capsys) -> None:
    code, _, err = run(capsys, "fetch", "iemocap", "--yes")
    assert code == 2
    assert "iemocap" in err.lower()


def test_module_entry_point_exits_with_the_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serfeat.cli", "list", "nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("serfeat: unknown list")


def test_an_interrupt_says_how_to_go_on(capsys, tiny: Path, tmp_path: Path, monkeypatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("serfeat.extract.extract", interrupt)
    code, _, err = run(capsys, "extract", tiny, "-o", tmp_path / "t.csv")
    assert code == 130
    assert "run the same command to go on" in err
