"""`serfeat init`: what a folder says, what is asked, and that the recipe runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serfeat.cli import main
from serfeat.clues import Clues, find_clues, places_of
from serfeat.errors import ManifestError, RecipeError, UnknownNameError
from serfeat.recipe import read_recipe
from serfeat.start import understand, write_start


def touched(folder: Path, *names: str) -> Path:
    """Empty files: only their names are read."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def said(clues: Clues) -> dict[str, tuple[str, str]]:
    return {
        file: (emotion, speaker)
        for file, emotion, speaker in zip(clues.files, clues.emotions, clues.speakers, strict=True)
    }


# --- where things are -----------------------------------------------------------------------------

LAYOUTS: dict[str, tuple[list[str], str, str]] = {
    "speakers, then emotions": (
        ["anna/angry/1.wav", "anna/sad/1.wav", "ben/angry/1.wav", "ben/sad/1.wav"],
        "folder:2", "folder:1",
    ),
    "emotions, then speakers": (
        ["angry/anna/1.wav", "angry/ben/1.wav", "sad/anna/1.wav", "sad/ben/1.wav"],
        "folder:1", "folder:2",
    ),
    "emotions in names, speakers in folders": (
        ["anna/1_angry.wav", "anna/2_sad.wav", "ben/1_angry.wav", "ben/2_sad.wav"],
        "name:2", "folder:1",
    ),
    "both in names": (
        ["spk1-neutral-a.wav", "spk1-fear-a.wav", "spk2-neutral-a.wav", "spk2-fear-a.wav"],
        "name:2", "name:1",
    ),
    "the emotion at the end of names of unequal length": (
        ["actor1_a_b_joy.wav", "actor1_c_sad.wav", "actor2_a_b_joy.wav", "actor2_c_sad.wav"],
        "name:-1", "name:1",
    ),
    "a counter is no speaker": (
        ["angry_01.wav", "angry_02.wav", "sad_01.wav", "sad_02.wav"], "name:1", "none",
    ),
    "a division is no speaker": (
        ["train/angry_1.wav", "train/sad_2.wav", "test/angry_3.wav", "test/sad_4.wav"],
        "name:1", "none",
    ),
    "folders with one emotion each are no speakers": (
        ["x/angry_1.wav", "x/angry_2.wav", "y/sad_3.wav", "y/sad_4.wav"], "name:1", "none",
    ),
    "seven numbers, songs too": (
        ["03-02-05-01-01-01-01.wav", "03-02-03-01-01-01-01.wav", "03-02-05-01-01-01-02.wav",
         "03-01-03-01-01-01-02.wav"],
        "name:3", "name:7",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    """Seen to fail without `_NOT_PEOPLE` and without `_several`."""
    names, emotion, speaker = LAYOUTS[layout]
    clues = find_clues(touched(tmp_path, *names))
    assert (clues.emotion_from, clues.speaker_from) == (emotion, speaker)
    assert len(set(clues.emotions)) == 2
    assert all(clues.speakers) == (speaker != "none")
    assert clues.odd == {}


def test_a_known_corpus_goes_first(tmp_path: Path) -> None:
    """EMO-DB's files, sorted into folders of other emotions than they have: the rule is right."""
    names = ["happy/03a01Wa.wav", "happy/03a01Fa.wav", "sad/08a01Wa.wav", "sad/08a01Fa.wav"]
    clues = find_clues(touched(tmp_path, *names))
    assert (clues.emotion_from, clues.speaker_from) == ("corpus:emodb", "corpus:emodb")
    assert said(clues)["happy/03a01Wa.wav"] == ("anger", "03")
    other = find_clues(tmp_path, emotion_from="folder:1")
    assert set(other.emotions) == {"happiness", "sadness"}
    assert other.speaker_from == "none"


def test_what_is_no_emotion_is_left_out_and_said(tmp_path: Path) -> None:
    names = [f"s{i}/{e}/1.wav" for i in (1, 2) for e in ("anger", "fear", "joy", "calm", "misc")]
    found = understand(touched(tmp_path, *names))
    assert found.clues.odd == {"misc": 2}
    assert found.emotions == {"anger": 2, "calm": 2, "fear": 2, "happiness": 2}
    assert found.speakers == {"s1": 4, "s2": 4}
    assert found.remarks == ("left out: 2 recordings whose folder:2 is 'misc'",)


def test_places() -> None:
    places = places_of(["a/b/x-1_y.wav", "a/z.wav"])
    assert places["folder:1"] == ["a", "a"]
    assert places["folder:2"] == ["b", ""]
    assert places["name:2"] == ["1", ""]
    assert places["name:-1"] == ["y", "z"]


# --- a CSV ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("spelling", ["sub/{}.wav", "{}.wav", "{}", "sub\\{}.wav"])
def test_a_csv(separator: str, spelling: str, tmp_path: Path) -> None:
    rows = [("a", "angry", "03"), ("b", "sad", "03"), ("c", "angry", "1"), ("d", "sad", "1")]
    lines = [separator.join((spelling.format(n), e, s)) for n, e, s in rows]
    head = separator.join(("filename", "Label", "speaker_id"))
    touched(tmp_path, *(f"sub/{n}.wav" for n, _, _ in rows))
    (tmp_path / "labels.csv").write_text("\ufeff" + "\n".join([head, *lines]) + "\n")
    clues = find_clues(tmp_path)
    assert (clues.emotion_from, clues.speaker_from) == ("column:Label", "column:speaker_id")
    assert clues.speakers == ("03", "03", "1", "1")
    asked = find_clues(tmp_path, emotion_from="column:Label", speaker_from="none")
    assert set(asked.speakers) == {""}
    with pytest.raises(UnknownNameError, match="column:Label"):
        find_clues(tmp_path, emotion_from="column:Lable")


def test_a_csv_of_other_files(tmp_path: Path) -> None:
    touched(tmp_path, "a.wav", "b.wav")
    (tmp_path / "labels.csv").write_text("file,emotion\nx.wav,anger\ny.wav,fear\n")
    with pytest.raises(ManifestError) as caught:
        find_clues(tmp_path)
    assert caught.value.code == "other-files"
    (tmp_path / "labels.csv").write_text("id,emotion\na,anger\nb,fear\n")
    with pytest.raises(ManifestError) as caught:
        find_clues(tmp_path, table=tmp_path / "labels.csv")
    assert caught.value.code == "no-file"
    with pytest.raises(ManifestError) as caught:
        find_clues(tmp_path, emotion_from="column:emotion")
    assert caught.value.code == "no-table"


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "places", "code"),
    [
        ([], {}, "no-audio"),
        (["x1.wav", "x2.wav"], {}, "no-labels"),
        (["anger/1.wav", "anger/2.wav"], {}, "no-labels"),
        (["anger/1.wav", "anger/2.wav"], {"emotion_from": "folder:1"}, "no-labels"),
        (["anger/1.wav", "fear/2.wav"], {"emotion_from": "corpus"}, "unknown-corpus"),
        (["anger/1.wav", "fear/2.wav"], {"emotion_from": "folder:9"}, "unknown-name"),
        (["anger/1.wav", "fear/2.wav"], {"speaker_from": "folders"}, "unknown-name"),
        (["anger/1.wav", "fear/2.wav"], {"emotion_from": "corpus:emodbb"}, "unknown-name"),
    ],
)
def test_what_cannot_be_understood(names, places, code, tmp_path: Path) -> None:
    with pytest.raises((ManifestError, UnknownNameError)) as caught:
        understand(touched(tmp_path, *names), **places)
    assert caught.value.code == code


# --- what is written ------------------------------------------------------------------------------


def test_without_speakers_there_is_no_recipe(tmp_path: Path, capsys) -> None:
    """Nobody is invented: the manifest says that nobody is known, and there is no comparison."""
    folder = touched(tmp_path / "speech", "angry_01.wav", "angry_02.wav", "sad_01.wav")
    code = main(["init", str(folder), "-o", str(tmp_path / "r.toml"), "--yes"])
    shown = capsys.readouterr()
    assert code != 0
    assert "NO SPEAKER IS KNOWN of 3 of 3 recordings" in shown.out
    assert "fill the column speaker" in shown.err
    assert not (tmp_path / "r.toml").exists()
    assert (pd.read_csv(tmp_path / "r_speech.csv", dtype=str)["speaker"].isna()).all()


def test_a_single_voice_is_marked(tmp_path: Path) -> None:
    names = [f"{e}_{i}.wav" for e in ("angry", "sad") for i in range(4)]
    found = understand(touched(tmp_path / "s", *names), speaker_from="one")
    assert "ONE SPEAKER" in found.remarks[0]
    _, recipe, _ = write_start(found, tmp_path / "r.toml")
    assert recipe is not None
    (protocol,) = read_recipe(recipe).protocols
    assert (protocol.name, protocol.model_extra) == ("random_kfold", {"n": 4})


def test_an_emotion_of_one_speaker_is_left_out(tmp_path: Path) -> None:
    names = [f"{s}/{e}/{i}.wav" for s in "ab" for e in ("anger", "fear") for i in range(3)]
    found = understand(touched(tmp_path / "s", *names, "a/joy/1.wav"))
    assert found.labels == ("anger", "fear")
    assert "happiness, which one speaker has" in found.remarks[0]
    _, recipe, _ = write_start(found, tmp_path / "r.toml")
    assert recipe is not None
    assert read_recipe(recipe).corpus.labels == ["anger", "fear"]


@pytest.mark.parametrize(("speakers", "protocol"), [(2, "leave_one_speaker_out"),
                                                    (13, "speaker_kfold")])  # fmt: skip
@pytest.mark.parametrize("compare", ["quick", "full", "head"])
def test_recipes(speakers: int, protocol: str, compare: str, tmp_path: Path) -> None:
    """Every one is read back by the reader of recipes, for few speakers and for many."""
    names = [f"spk{s}/{e}/1.wav" for s in range(speakers) for e in ("anger", "fear")]
    folder = touched(tmp_path / 'a "quoted" \u00e9\x01 name', *names)
    manifest, recipe, left = write_start(understand(folder), tmp_path / "r.toml", compare=compare)
    assert recipe is not None
    read = read_recipe(recipe)
    assert [p.name for p in read.protocols] == [protocol]
    assert 2 <= len(read.entries) + len(left) <= 7
    assert len(read.manifest(recipe).rows) == len(names)
    with pytest.raises(RecipeError, match="is there already"):
        write_start(understand(folder), tmp_path / "r.toml")
    assert write_start(understand(folder), tmp_path / "r.toml", force=True)[0] == manifest


def test_an_entry_that_cannot_run_here_is_left_out(tmp_path: Path, monkeypatch) -> None:
    import serfeat.start as start

    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    names = [f"{s}/{e}/1.wav" for s in "ab" for e in ("anger", "fear")]
    found = understand(touched(tmp_path / "s", *names))
    _, recipe, left = write_start(found, tmp_path / "r.toml")
    assert left == ["xgb: pip install 'serfeat[boost]'"]
    assert recipe is not None
    assert 'name = "xgb"' not in recipe.read_text()


def test_nothing_is_written_unasked(tmp_path: Path, capsys) -> None:
    folder = touched(tmp_path / "s", *(f"{s}/{e}/1.wav" for s in "ab" for e in ("anger", "fear")))
    assert main(["init", str(folder), "-o", str(tmp_path / "r.toml")]) != 0
    assert "--yes" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_the_questions(tmp_path: Path, capsys, monkeypatch) -> None:
    """A terminal is asked three questions and whether to write; the answers are taken."""
    import serfeat.cli.start as command

    names = [f"{s}/{e}/{i}.wav" for s in "ab" for e in ("anger", "fear") for i in range(2)]
    folder = touched(tmp_path / "s", *names)
    asked: list[str] = []
    answers = iter(["folder:2", "one", "head"])

    def prompt(text: str, **options: object) -> str:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(command.typer, "prompt", prompt)
    monkeypatch.setattr(command.typer, "confirm", lambda *a, **k: True)
    assert main(["init", str(folder), "-o", str(tmp_path / "r.toml")]) == 0
    assert [a.split("?")[0] for a in asked] == [
        "Where are the emotions", "Who speaks", "What shall be compared",
    ]  # fmt: skip
    text = (tmp_path / "r.toml").read_text()
    assert "random_kfold" in text
    assert "timnet" in text


def test_json(tmp_path: Path, capsys) -> None:
    names = [f"{s}/{e}/1.wav" for s in "ab" for e in ("anger", "fear", "hmm")]
    folder = touched(tmp_path / "s", *names)
    words = ["init", str(folder), "-o", str(tmp_path / "r.toml"), "--yes", "--json"]
    assert main([*words, "--emotion-from", "folder:2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["emotions"] == {"anger": 2, "fear": 2}
    assert found["speakers"] == {"a": 2, "b": 2}
    assert found["odd"] == {"hmm": 2}
    assert Path(found["recipe"]).is_file()


# --- real speech, end to end ----------------------------------------------------------------------


def test_emodb_in_folders_by_emotion_runs(emodb_root: Path, tmp_path: Path, capsys) -> None:
    """Files renamed, in folders by emotion: understood, written, compared, above chance."""
    names = {"W": "anger", "N": "neutral", "T": "sadness"}
    for file in sorted((emodb_root / "audio").glob("*.flac")):
        speaker, text, code = file.stem[:2], file.stem[2:5], file.stem[5]
        if speaker in {"03", "08"} and code in names and text in {"a01", "a02", "a05", "b03"}:
            place = tmp_path / "speech" / names[code] / f"spk{speaker}_{text}{file.stem[6]}.flac"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    recipe = tmp_path / "r.toml"
    assert main(["init", str(tmp_path / "speech"), "-o", str(recipe), "--yes"]) == 0
    assert "speakers from name:1: spk03" in capsys.readouterr().out
    recipe.write_text(recipe.read_text().replace("control_runs = 3", "control_runs = 1"))
    words = ["compare", str(recipe), "-o", str(tmp_path / "run"), "-j", "1", "--json"]
    assert main([*words, "--entry", "svm"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    scores = {row["entry"]: row["uar"] for row in run["leaderboard"] if not row["control"]}
    assert scores["svm"] > 0.5


def test_ravdess_by_its_names(ravdess_root: Path, tmp_path: Path) -> None:
    files = sorted(ravdess_root.rglob("03-01-*-01-01-01-0[1-4].*"))
    if not files:
        pytest.skip("no such recordings in this copy of RAVDESS")
    for file in files:
        shutil.copy(file, tmp_path / file.name)
    found = understand(tmp_path)
    assert found.clues.emotion_from == "corpus:ravdess"
    assert sorted(found.speakers) == ["01", "02", "03", "04"]
    assert found.emotions["calm"] == 4
    assert found.protocol.startswith('[[protocols]]\nname = "leave_one_speaker_out"')
    # a song among them is not of the corpus; the numbers say the same all the same
    tone = np.zeros(16_000)
    sf.write(tmp_path / "03-02-05-01-01-01-01.wav", tone, 16_000)
    again = understand(tmp_path)
    assert (again.clues.emotion_from, again.clues.speaker_from) == ("name:3", "name:7")
    assert again.emotions["anger"] == found.emotions["anger"] + 1
