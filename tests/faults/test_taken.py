"""What is taken of recordings: the same options, wherever a command decodes them.

Half a recording is an answer to nobody who did not ask for it. Who did gets it from every command:
in the features, in what the run or the model says of itself, and under a key of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serfeat.audio import Limits, load_audio
from serfeat.audit import lint_recipe
from serfeat.cli import app, main
from serfeat.cli.reading import as_typed, most_missing
from serfeat.compare import compare
from serfeat.deploy import predict, train
from serfeat.errors import AudioError, ManifestError
from serfeat.extract import extract
from serfeat.listening import recordings
from serfeat.manifest import Manifest
from serfeat.manifest_csv import read_manifest
from serfeat.models.storage import load_model
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.protocols.twins import twins_of

LENIENT = Limits(allow_truncated=True)


@pytest.fixture(scope="module")
def cut(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the tiny corpus as FLAC; of the first recording, half of the bytes."""
    folder = tmp_path_factory.mktemp("cut")
    rows = pd.read_csv(tiny, dtype=str, keep_default_na=False)
    for i, name in enumerate(rows["file"]):
        x, sr = sf.read(tiny.parent / name)
        made = folder / Path(name).with_suffix(".flac")
        made.parent.mkdir(parents=True, exist_ok=True)
        sf.write(made, x, sr)
        if i == 0:
            made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
        rows.loc[i, "file"] = str(Path(name).with_suffix(".flac"))
    rows.to_csv(folder / "m.csv", index=False)
    return folder / "m.csv"


def first_of(manifest: Path) -> Path:
    return manifest.parent / str(pd.read_csv(manifest)["file"].iloc[0])


@pytest.fixture(scope="module")
def recipe(cut: Path) -> Path:
    path = cut.parent / "r.toml"
    path.write_text(
        'title = "cut"\n[corpus]\nmanifest = "m.csv"\n[run]\nseeds = [0]\n'
        '[[protocols]]\nname = "leave_one_speaker_out"\n'
        '[[entries]]\nname = "ridge"\nmodel = "ridge"\nfeatures = "zcr,energy"\n'
    )
    return path


PLAN = Plan("t", [Entry("ridge", "ridge", "zcr,energy")], [ChosenProtocol("leave_one_speaker_out")])


def test_the_recording_is_what_it_should_be(cut: Path) -> None:
    """Seen to fail where every FLAC that ends in an error is corrupt, and none is cut."""
    with pytest.raises(AudioError, match="truncated") as caught:
        load_audio(first_of(cut))
    assert caught.value.code == "truncated"
    audio = load_audio(first_of(cut), allow_truncated=True)
    assert len(audio.x) > 0
    assert "truncated" in audio.flags[0]


def test_extract_says_what_it_took(cut: Path, tmp_path: Path) -> None:
    """In the provenance of the table, of usual limits as well."""
    usual = extract(cut, "zcr", store=tmp_path / "s")
    assert usual.provenance["limits"] == {"allow_truncated": False, "max_duration_s": 3600.0}
    made = extract(cut, "zcr", store=tmp_path / "s", limits=Limits(True, 50.0))
    assert made.provenance["limits"] == {"allow_truncated": True, "max_duration_s": 50.0}
    assert (len(usual.index), len(made.index)) == (23, 24)


def test_compare(recipe: Path, tmp_path: Path, capsys) -> None:
    """Without: 23 rows, a line about the 24th. With, and in two processes: all rows."""
    command = ["compare", str(recipe), "--quiet", "-o"]
    assert main([*command, str(tmp_path / "strict"), "--no-listen"]) == 0
    assert "failed (truncated)" in capsys.readouterr().err
    lenient = [*command, str(tmp_path / "lenient"), "--allow-truncated", "--max-duration", "600"]
    assert main([*lenient, "--jobs", "2"]) == 0
    assert "failed" not in capsys.readouterr().err
    strict, given = (
        json.loads((tmp_path / name / "run.json").read_text()) for name in ("strict", "lenient")
    )
    assert (strict["corpus"]["rows"], given["corpus"]["rows"]) == (23, 24)
    assert [f["reason"] for f in strict["failures"]] == ["truncated"]
    assert given["failures"] == []
    assert given["command"].endswith(" --max-duration 600 --allow-truncated")
    assert given["extraction"]["limits"] == {"allow_truncated": True, "max_duration_s": 600.0}
    rows = pd.read_parquet(tmp_path / "lenient" / "rows.parquet")
    assert (rows["content"] != "").all()  # what is there of the half one was heard


def test_a_comparison_that_was_stricter_is_not_the_answer(cut: Path, tmp_path: Path) -> None:
    """The same folder again under other limits: tasks are made anew, not found."""
    manifest = read_manifest(cut)
    for limits, rows in ((Limits(), 23), (LENIENT, 24), (Limits(), 23)):
        folder = compare(
            manifest, PLAN, tmp_path / "run", store=tmp_path / "s", limits=limits, listen=False
        )
        said = pd.read_parquet(folder / "predictions.parquet")
        assert len(said) == rows


def test_train_and_predict(recipe: Path, cut: Path, tmp_path: Path, capsys) -> None:
    """The model says what it heard, and what is asked of it is read under the same words.

    Seen to fail where the training does not hand the limits on.
    """
    command = ["train", str(recipe), "--entry", "ridge", "--quiet", "-o"]
    assert main([*command, str(tmp_path / "strict")]) == 0
    said = capsys.readouterr()
    assert "trained on 23 recordings" in said.out
    assert "failed (truncated)" in said.err
    assert main([*command, str(tmp_path / "lenient"), "--allow-truncated"]) == 0
    assert "trained on 24 recordings" in capsys.readouterr().out
    _, card = load_model(tmp_path / "lenient")
    assert card["trained_on"]["limits"]["allow_truncated"] is True
    assert (card["trained_on"]["rows"], card["trained_on"]["failures"]) == (24, 0)
    _, card = load_model(tmp_path / "strict")
    assert (card["trained_on"]["rows"], card["trained_on"]["failures"]) == (23, 1)

    asked = ["predict", str(tmp_path / "strict"), str(first_of(cut)), "--quiet"]
    assert main(asked) == 2
    assert "failed (truncated)" in capsys.readouterr().err
    assert main([*asked, "--allow-truncated"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert "truncated" in said.err  # the answer is about half a recording
    assert main([*asked, "--allow-truncated", "--max-duration", "0.1"]) == 2
    assert "failed (too-long)" in capsys.readouterr().err


def test_missing_files_end_a_training(recipe: Path, cut: Path, tmp_path: Path, capsys) -> None:
    rows = pd.read_csv(cut, dtype=str)
    rows.loc[3, "file"] = "gone.flac"
    rows.to_csv(cut.parent / "gone.csv", index=False)
    mine = recipe.with_name("gone.toml")
    mine.write_text(recipe.read_text().replace("m.csv", "gone.csv"))
    for command in (["train", str(mine), "--entry", "ridge"], ["compare", str(mine)]):
        command += ["-o", str(tmp_path / "out"), "--max-missing", "0"]
        assert main(command) == 2
        assert "1 of 24 files are not there" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
    assert main(["lint", str(mine), "--max-missing", "2%"]) == 2
    assert "expected at most 2 %" in capsys.readouterr().err


def test_lint_hears_what_the_comparison_hears(cut: Path, recipe: Path, tmp_path: Path) -> None:
    """A copy of half a recording under another speaker is a leak, if halves are taken."""
    rows = pd.read_csv(cut, dtype=str)
    copy = rows.iloc[0].copy()
    (cut.parent / "copy.flac").write_bytes(first_of(cut).read_bytes())
    copy["file"], copy["speaker"] = "copy.flac", rows["speaker"].iloc[-1]
    rows.loc[len(rows)] = copy
    rows.to_csv(cut.parent / "twice.csv", index=False)
    mine = recipe.with_name("twice.toml")
    mine.write_text(recipe.read_text().replace("m.csv", "twice.csv"))
    strict, lenient = lint_recipe(mine), lint_recipe(mine, limits=LENIENT)
    assert "identical-audio" not in {f.kind for f in strict}
    assert "identical-audio" in {f.kind for f in lenient}
    manifest = read_manifest(cut.parent / "twice.csv")
    assert not twins_of(manifest)
    (twin,) = twins_of(manifest, limits=LENIENT)
    assert (twin.first, twin.second, twin.exact) == (0, 24, True)


def test_recordings_that_are_whole_are_heard_as_ever(tiny: Path) -> None:
    """Limits change nothing of what needs none."""
    manifest: Manifest = read_manifest(tiny)
    pd.testing.assert_frame_equal(recordings(manifest), recordings(manifest, limits=LENIENT))


def test_frames_of_a_training_are_on_the_disk_while_it_lasts(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network on frames is the same, mapped or not, by speaker or not; no folder stays."""
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path / "cache"))
    from serfeat import deploy, sequences
    from serfeat.deploy import training

    seen: list[bool] = []

    def spied(*arguments: object, **named: object) -> object:
        made = extract(*arguments, **named)  # type: ignore[arg-type]
        seen.append(made.values.mapped)  # type: ignore[union-attr]
        return made

    for module in (training, deploy):
        monkeypatch.setattr(module, "extract", spied)
    said = {}
    for limit in (sequences.IN_MEMORY, 10):
        monkeypatch.setattr(sequences, "IN_MEMORY", limit)
        entry = Entry("gmm", "gmm", "zcr,energy", {"n_components": 2}, normalisation="speaker")
        folder = train(read_manifest(tiny), entry, tmp_path / f"m{limit}", held_out=0)
        said[limit] = predict(folder, [tiny.parent]).table
    assert seen == [True, False, True, False]
    one, other = said.values()
    assert list(one["prediction"]) == list(other["prediction"])
    chances = [c for c in one if c.startswith("p_")]
    np.testing.assert_allclose(one[chances], other[chances], atol=1e-6)
    assert not [p for p in (tmp_path / "cache").iterdir() if p.name.startswith(".")]


# --- the words ------------------------------------------------------------------------------------


def test_the_words_are_the_same_everywhere() -> None:
    """One text and one default for each option, whichever command has it."""
    from typer.main import get_command

    commands = get_command(app).commands  # type: ignore[attr-defined]
    names = {"max_missing", "max_duration", "allow_truncated", "encoding", "follow"}
    said: dict[str, set[tuple[str, str]]] = {}
    for command in ("extract", "compare", "train", "lint"):
        own = {p.name: p for p in commands[command].params}
        assert names <= set(own), command
        for name in names:
            said.setdefault(name, set()).add((own[name].help, str(own[name].default)))
    assert all(len(texts) == 1 for texts in said.values()), said
    assert {"max_duration", "allow_truncated", "follow"} <= {
        p.name for p in commands["predict"].params
    }


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("-1", None),
        ("0", 0),
        ("12", 12),
        ("5%", 0.05),
        ("0 %", 0.0),
        ("100%", 1.0),
        ("2.5%", 0.025),
    ],
)
def test_a_count_or_a_share(text: str, most: object) -> None:
    found = most_missing(text)
    assert found == most
    assert type(found) is type(most)  # 1 is one file, 1.0 is all of them


@pytest.mark.parametrize("text", ["", "-2", "x", "101%", "-1%", "nan%", "%", "1.5", "5%%"])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(ManifestError, match="no number of files"):
        most_missing(text)


def test_a_share_of_the_files(tmp_path: Path) -> None:
    """Of 40 files 2 are 5 %; a share is of files, not of rows. Exactly so many may be missing."""
    rows = ["file,start,end"]
    for i in range(38):
        sf.write(tmp_path / f"{i}.wav", 0.1 * np.sin(np.arange(8000) / 5), 16_000)
        rows += [f"{i}.wav,0,0.2", f"{i}.wav,0.2,0.4"]
    rows += ["a.wav,,", "b.wav,,"]
    path = tmp_path / "m.csv"
    path.write_text("\n".join(rows) + "\n")
    made = extract(path, "zcr", store=tmp_path / "s", max_missing=0.05)
    assert (len(made.index), len(made.failures)) == (76, 2)
    for most, words in ((0.049, "at most 4.9 %"), (1, "at most 1 ")):
        with pytest.raises(ManifestError, match=words) as caught:
            extract(path, "zcr", store=tmp_path / "s", max_missing=most)
        assert caught.value.code == "too-many-missing"
    for bad in (-1, 1.5, -0.1, float("nan")):
        with pytest.raises(ManifestError, match="a share from 0 to 1"):
            extract(path, "zcr", store=tmp_path / "s", max_missing=bad)


def test_as_typed() -> None:
    usual = {"max_missing": "-1", "max_duration": 3600.0, "allow_truncated": False}
    assert as_typed(**usual, encoding="utf-8", follow=False) == ""
    said = as_typed(
        max_missing="5%", max_duration=60.5, allow_truncated=True, encoding="latin-1", follow=True
    )
    expected = "--max-missing 5% --max-duration 60.5 --allow-truncated --encoding latin-1 --follow"
    assert said == f" {expected}"


def test_017_a_flag_of_the_name_stays_with_the_name(tmp_path: Path) -> None:
    """The same content under a wrong name, then under a right one; the store knows it by content.

    Seen to fail with all flags of the row.
    """
    place = tmp_path / "in"
    place.mkdir()
    x = 0.1 * np.sin(np.arange(8000) / 5)
    sf.write(place / "a.mp3", x, 16_000, format="WAV")
    assert extract(place, "zcr", store=tmp_path / "s").flags == ("a WAV file named .mp3",)
    (place / "a.mp3").rename(place / "A.WAV")
    made = extract(place, "zcr", store=tmp_path / "s")
    assert (made.computed, made.flags) == (0, ("",))
