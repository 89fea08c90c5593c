"""Readers: the real corpora, and the other layouts made small in a temporary folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.corpora import CORPORA, cards_folder, find_root, read_card, read_corpus
from serfeat.corpora.iemocap import parse_evaluation
from serfeat.errors import CorpusError, SplitError, UnknownNameError
from serfeat.labels import EMOTIONS
from serfeat.manifest import Manifest
from serfeat.manifest_csv import read_manifest, write_manifest
from serfeat.splits import folds, independence

CARDS = [name for name, corpus in CORPORA.items() if corpus.has_card]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def row(manifest: Manifest, file: str) -> dict[str, object]:
    return manifest.rows.loc[[file]].iloc[0].to_dict()


# --- real corpora ---------------------------------------------------------------------------------


@pytest.mark.corpus
def test_emodb(emodb_root: Path) -> None:
    """Published counts; catches two swapped German codes and labels taken from elsewhere."""
    m = read_corpus("emodb", emodb_root)
    counts = m.rows["emotion"].value_counts().to_dict()
    assert counts == {
        "anger": 127,
        "boredom": 81,
        "neutral": 79,
        "happiness": 71,
        "fear": 69,
        "sadness": 62,
        "disgust": 46,
    }
    assert len(m) == 535
    assert m.speakers == ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    # an independent reading: the table that was made with the copy
    table = pd.read_csv(emodb_root / "metadata.csv", dtype=str, keep_default_na=False)
    table = table.set_index("file").loc[list(m.files)]
    for column in ("speaker", "sex", "emotion", "emotion_code", "text_id", "version"):
        assert list(table[column]) == list(m.rows[column]), column
    assert list(table["age"].astype(float)) == list(m.rows["age"])
    assert row(m, "audio/03a01Fa.flac")["recognised_pct"] == 90.0
    # 47 recordings were rated; means by an independent reading of the table
    rated = pd.read_csv(emodb_root / "arousal_valence_47.csv")
    for column in ("valence", "arousal"):
        assert m.rows[column].notna().sum() == 47
        assert m.rows[column].sum() == pytest.approx(rated[column].sum())
    assert row(m, "audio/03a07Wc.flac")["valence"] == -0.7
    assert row(m, "audio/03a07Wc.flac")["arousal"] == 0.7


@pytest.mark.corpus
def test_emodb_labels_do_not_come_from_the_table(emodb_root: Path, tmp_path: Path) -> None:
    """A metadata.csv with another emotion must not win over the file name."""
    touch(tmp_path, "audio/03a01Fa.flac")
    (tmp_path / "metadata.csv").write_text(
        "file,emotion,listeners,recognised_pct,natural_pct\naudio/03a01Fa.flac,anger,20,90,75\n"
    )
    got = row(read_corpus("emodb", tmp_path), "audio/03a01Fa.flac")
    assert got["emotion"] == "happiness"
    assert got["natural_pct"] == 75.0


@pytest.mark.corpus
def test_ravdess(ravdess_root: Path) -> None:
    """Against the table of the copy; catches swapped fields of the name."""
    m = read_corpus("ravdess", ravdess_root)
    assert (len(m), len(m.speakers), len(m.labels)) == (840, 14, 8)
    table = pd.read_csv(ravdess_root / "metadata.csv", dtype=str, keep_default_na=False)
    table = table.set_index("file").loc[list(m.files)]
    for column in ("speaker", "sex", "emotion", "intensity", "text_id", "repetition"):
        assert list(table[column]) == list(m.rows[column]), column


@pytest.mark.corpus
def test_emospeech(shared: Path) -> None:
    root = shared / "corpora" / "emospeech"
    m = read_corpus("emospeech", root)
    assert (len(m), len(m.speakers)) == (780, 18)
    table = pd.read_csv(root / "metadata.csv", dtype=str, keep_default_na=False)
    table = table.set_index("file").loc[list(m.files)]
    for column in ("speaker", "emotion", "text_id", "language", "environment"):
        assert list(table[column]) == list(m.rows[column]), column


@pytest.mark.corpus
def test_cremad_votes_without_audio(shared: Path) -> None:
    """SOURCE.md's figures; catches face votes read as voice votes."""
    m = read_corpus("cremad", shared / "corpora" / "crema-d-votes")
    assert (len(m), len(m.speakers)) == (7442, 91)
    votes = m.rows[[c for c in m.rows if c.startswith("votes_")]]
    assert votes.to_numpy().sum() == 68568
    assert m.rows[[c for c in m.rows if c.startswith("face_")]].to_numpy().sum() == 71654
    # majority by voice equals the intention in 41.6 % (ties count as misses)
    top = votes.eq(votes.max(axis=1), axis=0)
    chosen = votes.idxmax(axis=1).str.removeprefix("votes_")
    agree = (chosen == m.rows["emotion"]) & (top.sum(axis=1) == 1)
    assert 0.40 < agree.mean() < 0.43
    assert row(m, "AudioWAV/1001_DFA_ANG_XX.wav")["votes_anger"] == 6


@pytest.mark.corpus
def test_written_and_read_again(emodb_root: Path, tmp_path: Path) -> None:
    m = read_corpus("emodb", emodb_root)
    back = read_manifest(write_manifest(m, tmp_path / "emodb.csv"))
    pd.testing.assert_frame_equal(back.rows, m.rows)
    assert back.path(back.files[0]).is_file()
    assert back.card is not None
    assert back.card.licence == m.card.licence if m.card else False


# --- layouts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["wav/", "", "audio/"])
def test_emodb_layouts(tmp_path: Path, folder: str) -> None:
    m = read_corpus("emodb", touch(tmp_path, f"{folder}03a01Fa.wav", f"{folder}16b10Wb.wav"))
    assert list(m.rows["emotion"]) == ["happiness", "anger"]
    assert "recognised_pct" not in m.rows


def test_ravdess_actor_folders(tmp_path: Path) -> None:
    touch(tmp_path, "Actor_02/03-01-06-02-01-02-02.wav", "Actor_01/03-01-08-01-02-01-01.wav")
    m = read_corpus("ravdess", tmp_path)
    assert list(m.rows["emotion"]) == ["surprise", "fear"]
    assert list(m.rows["sex"]) == ["male", "female"]
    assert list(m.rows["intensity"]) == ["normal", "strong"]


def test_song_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "Actor_01/03-02-06-02-01-02-01.wav", "Actor_01/03-01-08-01-02-01-01.wav")
    with pytest.raises(CorpusError, match=r"1 of 2 audio files are not named as in RAVDESS"):
        read_corpus("ravdess", tmp_path)


def test_doubled_mirror_is_refused(tmp_path: Path) -> None:
    """The mirror that holds everything twice; catches identity by path instead of by name."""
    name = "Actor_01/03-01-08-01-02-01-01.wav"
    with pytest.raises(CorpusError, match="the same recording twice"):
        read_corpus("ravdess", touch(tmp_path, name, f"audio_speech_actors_01-24/{name}"))


def test_savee(tmp_path: Path) -> None:
    deep = read_corpus("savee", touch(tmp_path / "1", "AudioData/DC/sa01.wav", "DC/a01.wav"))
    flat = read_corpus("savee", touch(tmp_path / "2", "ALL/DC_sa01.wav", "ALL/KL_su15.wav"))
    assert list(deep.rows["emotion"]) == ["sadness", "anger"]
    assert list(flat.rows["emotion"]) == ["sadness", "surprise"]
    assert flat.speakers == ("DC", "KL")


def test_savee_has_no_texts(tmp_path: Path) -> None:
    """Three sentences are common to all emotions, under other names: no fold holds them apart.

    Caught: a text_id made of emotion and number, and folds by it that were called
    text-independent.
    """
    names = [f"{s}/{c}0{i}.wav" for s in ("DC", "JE") for c in ("a", "n", "sa") for i in (1, 2)]
    rows = read_corpus("savee", touch(tmp_path, *names)).rows
    with pytest.raises(SplitError, match="column 'text_id', which is not there"):
        folds(rows, "text_kfold", n=2)
    assert not independence(rows, folds(rows, "leave_one_speaker_out")[0]).get("text")


def test_emovo(tmp_path: Path) -> None:
    m = read_corpus("emovo", touch(tmp_path, "f1/dis-f1-b1.wav", "m2/gio-m2-n5.wav"))
    assert list(m.rows["emotion"]) == ["disgust", "happiness"]
    assert list(m.rows["sex"]) == ["female", "male"]
    assert list(m.rows["text_id"]) == ["b1", "n5"]


def test_casia(tmp_path: Path) -> None:
    m = read_corpus("casia", touch(tmp_path, "ZhaoZuoxiang/sad/250.wav", "liuchanhg/angry/201.wav"))
    assert list(m.rows["speaker"]) == ["ZhaoZuoxiang", "liuchanhg"]
    assert list(m.rows["emotion"]) == ["sadness", "anger"]
    assert list(m.rows["sex"]) == ["male", "female"]
    assert list(m.rows["text_id"]) == ["250", "201"]


def test_tess(tmp_path: Path) -> None:
    names = (
        "OAF_angry/OAF_back_angry.wav",
        "OAF_Pleasant_surprise/OAF_back_pleasant_surprise.wav",
        "YAF_ps/deep/YAF_back_ps.wav",
        "x/OA_bite_neutral.wav",
    )
    m = read_corpus("tess", touch(tmp_path, *names))
    assert list(m.rows["emotion"]) == ["surprise", "anger", "surprise", "neutral"]
    assert list(m.rows["speaker"]) == ["OAF", "OAF", "YAF", "OAF"]
    assert m.card is not None
    assert "2 speakers" in m.card.warnings[0]


VOTES = (
    '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n'
    '"100001",6,2,0,0,1,0,"1001_DFA_ANG_XX",9,0.67,"A"\n'
    '"200001",5,2,0,0,3,0,"1001_DFA_ANG_XX",10,0.5,"A"\n'
    '"300001",8,1,0,0,0,0,"1001_DFA_ANG_XX",9,0.9,"A"\n'
)


def test_cremad_original_layout(tmp_path: Path) -> None:
    """Catches the three conditions mixed up and the demographics lost."""
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", "processedResults/tabulatedVotes.csv")
    (tmp_path / "processedResults/tabulatedVotes.csv").write_text(VOTES)
    (tmp_path / "VideoDemographics.csv").write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n"
    )
    got = row(read_corpus("cremad", tmp_path), "AudioWAV/1001_DFA_ANG_XX.wav")
    assert (got["votes_anger"], got["face_neutral"], got["av_anger"]) == (6, 3, 8)
    assert (got["sex"], got["age"], got["text_id"]) == ("male", 51.0, "DFA")
    shutil.rmtree(tmp_path / "AudioWAV")
    assert read_corpus("cremad", tmp_path).files == ("AudioWAV/1001_DFA_ANG_XX.wav",)


def test_lfs_pointers_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav")
    (tmp_path / "AudioWAV/1001_DFA_ANG_XX.wav").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:c6f9\nsize 72862\n"
    )
    with pytest.raises(CorpusError, match="1 of 1 files are git-lfs pointers"):
        read_corpus("cremad", tmp_path)


EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.0000, 3.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Frustration;\t()
C-E4:\tHappiness; Excited;\t(pleased)
C-F1:\tAnger;\t()
A-E3:\tval 3; act 2; dom  2;\t()
A-F1:\tval 3; act 2; dom  1;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\txxx\t[2.5000, 2.5000, 2.5000]
C-E2:\tSurprise;\t()

"""
SCRIPTED = "[1.0 - 2.5]\tSes05M_script01_1b_F003\texc\t[4.0, 4.5, 3.0]\nC-E1:\tExcited;\t()\n"


def test_iemocap(tmp_path: Path) -> None:
    """Catches V, A, D in another order, self-reports counted, and the wearer as the speaker."""
    for session, name, text in (
        (1, "Ses01F_impro01", EVALUATION),
        (5, "Ses05M_script01_1b", SCRIPTED),
    ):
        folder = tmp_path / f"Session{session}/dialog/EmoEvaluation"
        folder.mkdir(parents=True)
        (folder / f"{name}.txt").write_text(text)
        (folder / f"._{name}.txt").write_bytes(b"\0resource fork")
    m = read_corpus("iemocap", tmp_path)
    first, second, third = (m.rows.iloc[i].to_dict() for i in range(3))
    assert m.files[0] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert (first["valence"], first["arousal"], first["dominance"]) == (2.5, 2.0, 3.5)
    assert (first["votes_neutral"], first["votes_frustration"]) == (2, 1)
    assert (first["votes_happiness"], first["votes_anger"]) == (1, 0)
    assert first["duration"] == pytest.approx(1.9456)
    assert (first["speaker"], second["speaker"], third["speaker"]) == ("01F", "01M", "05F")
    assert (first["sex"], second["sex"]) == ("female", "male")
    assert (second["emotion"], second["emotion_code"]) == ("", "xxx")
    assert (third["emotion"], third["emotion_code"]) == ("happiness", "exc")
    assert (first["text_id"], third["text_id"]) == ("", "script01_1b")
    assert (first["kind"], third["kind"]) == ("improvised", "scripted")
    assert list(m.rows["session"]) == ["1", "1", "5"]
    assert m.labels == ("happiness", "neutral")
    path = write_manifest(m, tmp_path / "rows.csv")
    assert "do not pass them on" in path.with_suffix(".toml").read_text()
    pd.testing.assert_frame_equal(read_manifest(path).rows, m.rows)


def test_iemocap_bad_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"x.txt, line 2: not a turn"):
        parse_evaluation("% header\n[1.0 - 2.0] nonsense\n", where="x.txt")
    with pytest.raises(CorpusError, match="no labels of IEMOCAP"):
        read_corpus("iemocap", tmp_path)


def test_folders_either_way_round(tmp_path: Path) -> None:
    one = read_corpus("folders", touch(tmp_path / "1", "bob/angry/1.wav", "03/sad/x/1.flac"))
    two = read_corpus("folders", touch(tmp_path / "2", "angry/bob/1.wav", "sad/03/1.flac"))
    assert sorted(one.rows["emotion"]) == sorted(two.rows["emotion"]) == ["anger", "sadness"]
    assert one.speakers == two.speakers == ("03", "bob")
    assert row(one, "bob/angry/1.wav")["emotion"] == "anger"
    assert row(two, "angry/bob/1.wav")["speaker"] == "bob"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["bob/angery/1.wav", "eve/sad/1.wav"], "neither level.*'bob' and 'angery'"),
        (["sad/angry/1.wav"], "both levels of folders are named after emotions"),
        (["1.wav", "bob/sad/1.wav"], "1 of 2 files are not below two folders"),
        ([], "no audio below"),
    ],
)
def test_folders_without_a_clear_layout(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_corpus("folders", touch(tmp_path, *names))


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDS)
def test_cards_are_whole(name: str) -> None:
    """A card that cannot be believed: counts that do not add up, no licence, no way to get it."""
    card = CORPORA[name].card
    assert card is not None
    assert card.name == name
    assert card.licence
    assert card.citation
    assert card.downloads or card.steps
    assert set(card.emotions) <= set(EMOTIONS)
    assert set(card.emotion_counts) == set(card.emotions)
    unlabelled = 2507 if name == "iemocap" else 0
    assert sum(card.emotion_counts.values()) + unlabelled == card.n_utterances
    if card.speakers:
        assert sum(card.speakers.values()) == card.n_utterances
        assert len(card.speakers) == card.n_speakers
    for download in card.downloads:
        assert download.url.startswith("http")
        assert download.checksum.split(":")[0] in ("", "md5", "sha256")


@pytest.mark.parametrize("name", CORPORA)
def test_every_reader_refuses_an_empty_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no (audio|labels)"):
        read_corpus(name, tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        read_corpus(name, tmp_path / "none")


def test_cards_and_corpora_agree() -> None:
    assert sorted(p.stem for p in cards_folder().glob("*.toml")) == sorted(CARDS)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ravdess'"):
        read_corpus("ravdes", tmp_path)
    path = tmp_path / "x.toml"
    path.write_text('name = "x"\nlicense = "y"\n')
    with pytest.raises(UnknownNameError, match="did you mean 'licence'"):
        read_card(path)
    path.write_text("name = \n")
    with pytest.raises(CorpusError, match="not a card"):
        read_card(path)


def test_find_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, then SERFEAT_CORPORA, then the cache; catches any other order."""
    monkeypatch.delenv("SERFEAT_CORPORA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(CorpusError, match=r"no copy of savee found.*Register at the homepage"):
        find_root("savee")
    with pytest.raises(CorpusError, match="`serfeat fetch emodb`"):
        find_root("emodb")
    cached = tmp_path / "cache/serfeat/corpora/savee"
    cached.mkdir(parents=True)
    assert find_root("savee") == cached
    (tmp_path / "mine/savee").mkdir(parents=True)
    monkeypatch.setenv("SERFEAT_CORPORA", str(tmp_path / "mine"))
    assert find_root("savee") == tmp_path / "mine/savee"
    assert find_root("savee", tmp_path) == tmp_path
    with pytest.raises(CorpusError, match="looked at"):
        find_root("savee", tmp_path / "none")


def test_ages_are_numbers(tmp_path: Path) -> None:
    m = read_corpus("emodb", touch(tmp_path, "03a01Fa.wav"))
    assert m.rows["age"].dtype == np.float64
