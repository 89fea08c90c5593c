"""Emozionalmente: the real votes, and the authors' own layout made small."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from serfeat.corpora import read_corpus
from serfeat.corpora.check import check_manifest
from serfeat.errors import CorpusError
from serfeat.manifest_csv import read_manifest, write_manifest
from serfeat.votes import fleiss_kappa, vote_counts

SAMPLES = (
    "file_name,sentence,sentence_language,actor,emotion_expressed\n"
    "1612871026347.wav,Vado in biblioteca,it,aa11,neutrality\n"
    "1612871037341.wav,La cascata fa molto rumore,it,bb22,joy\n"
)
EVALUATIONS = (
    "file_name,evaluator,audio_quality,emotion_recognized\n"
    "1612871026347.wav,r1,good,neutrality\n"
    "1612871026347.wav,r2,good,joy\n"
    "1612871026347.wav,r3,bad,neutrality\n"
    "1612871037341.wav,r1,good,surprise\n"
)
USERS = "username,age,gender,mother_tongue\naa11,27,male,italian\nbb22,31,female,italian\n"


def original(root: Path, *, audio: bool) -> Path:
    """Two clips in the authors' layout."""
    (root / "metadata").mkdir(parents=True)
    for name, text in (("samples", SAMPLES), ("evaluations", EVALUATIONS), ("users", USERS)):
        (root / "metadata" / f"{name}.csv").write_text(text, encoding="utf-8")
    if audio:
        (root / "audio").mkdir()
        for stem in ("1612871026347", "1612871037341"):
            (root / "audio" / f"{stem}.wav").touch()
    return root


@pytest.mark.corpus
def test_real_votes(shared: Path) -> None:
    """SOURCE.md's figures, and the single votes counted anew."""
    root = shared / "corpora" / "emozionalmente-votes"
    m = read_corpus("emozionalmente", root)
    assert (len(m), len(m.speakers), len(m.labels)) == (6902, 431, 7)
    labels, counts = vote_counts(m.rows)
    assert set(counts.sum(axis=1)) == {5.0}
    assert fleiss_kappa(counts) == pytest.approx(0.476, abs=5e-4)
    single = pd.read_csv(root / "votes.csv")
    again = pd.crosstab(single["file"], single["emotion"]).loc[list(m.files), list(labels)]
    assert (again.to_numpy() == counts).all()
    table = pd.read_csv(root / "metadata.csv", dtype=str).set_index("file").loc[list(m.files)]
    for column in ("speaker", "sex", "emotion", "text_id"):
        assert list(table[column]) == list(m.rows[column]), column


@pytest.mark.corpus
def test_real_votes_are_checked(shared: Path, tmp_path: Path) -> None:
    """The summary of a check speaks of the raters; nothing but the audio is missing."""
    m = read_corpus("emozionalmente", shared / "corpora" / "emozionalmente-votes")
    result = check_manifest(m, decode="none")
    assert len(result.errors) == 1
    assert result.errors[0].startswith("6902 of 6902 files missing")
    text = "\n".join(result.summary)
    assert "rater votes: 34510 on 6902 clips, 5 each" in text
    assert "Fleiss' kappa 0.476 (0.46" in text
    assert "the raters' plurality is the label in 72.8% of clips" in text
    back = read_manifest(write_manifest(m, tmp_path / "rows.csv"))
    pd.testing.assert_frame_equal(back.rows, m.rows)


@pytest.mark.parametrize("audio", [True, False])
def test_authors_layout(tmp_path: Path, audio: bool) -> None:
    """Catches the actor's and the raters' emotions mixed up."""
    m = read_corpus("emozionalmente", original(tmp_path, audio=audio))
    assert m.files == ("audio/1612871026347.wav", "audio/1612871037341.wav")
    assert list(m.rows["emotion"]) == ["neutral", "happiness"]
    assert list(m.rows["speaker"]) == ["aa11", "bb22"]
    assert list(m.rows["sex"]) == ["male", "female"]
    assert list(m.rows["age"]) == [27.0, 31.0]
    assert list(m.rows["text_id"]) == ["t02", "t01"]
    assert list(m.rows["votes_neutral"]) == [2.0, 0.0]
    assert list(m.rows["votes_happiness"]) == [1.0, 0.0]
    assert list(m.rows["votes_surprise"]) == [0.0, 1.0]


def test_refusals(tmp_path: Path) -> None:
    """Audio without its tables has no labels; an unknown word is not a new class."""
    root = original(tmp_path / "a", audio=True)
    (root / "audio" / "999.wav").touch()
    with pytest.raises(CorpusError, match=r"1 of 3 clips are in no table.*'audio/999.wav'"):
        read_corpus("emozionalmente", root)
    (root / "audio" / "999.wav").rename(root / "audio" / "x.wav")
    with pytest.raises(CorpusError, match="not named as in Emozionalmente"):
        read_corpus("emozionalmente", root)
    root = original(tmp_path / "b", audio=False)
    (root / "metadata/samples.csv").write_text(SAMPLES.replace("joy", "gioia"), encoding="utf-8")
    with pytest.raises(CorpusError, match="'gioia' is no emotion of Emozionalmente"):
        read_corpus("emozionalmente", root)
    bare = tmp_path / "c"
    (bare / "audio").mkdir(parents=True)
    (bare / "audio" / "1612871026347.wav").touch()
    with pytest.raises(CorpusError, match="1 of 1 clips are in no table"):
        read_corpus("emozionalmente", bare)
