"""Several corpora as one: names, labels, columns, roots, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from serfeat.corpora import read_corpus
from serfeat.errors import ManifestError, UnknownNameError
from serfeat.extract import extract
from serfeat.joined import join_report, joined
from serfeat.manifest import Card, Manifest, rows_from_records
from serfeat.manifest_csv import read_manifest, write_manifest


def corpus(root: Path, name: str, emotions: str, *, sr: int = 16_000, **extra: object) -> Manifest:
    """A corpus of one second of noise per emotion and speaker, each recording another one."""
    words = {"a": "anger", "n": "neutral", "s": "sadness", "c": "calm", "b": "boredom", "-": ""}
    folder = root / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(name) + ord(name[0]))
    records = []
    for speaker in ("1", "2"):
        for code in emotions:
            file = f"x{speaker}{code}.wav"
            soundfile.write(folder / file, 0.1 * rng.standard_normal(sr), sr)
            records.append(
                {"file": file, "corpus": "?", "speaker": speaker, "emotion": words[code]} | extra
            )
    card = Card(name, licence=f"licence of {name}", language="de", warnings=("acted",))
    return Manifest(rows_from_records(records), folder, name, card)


@pytest.fixture
def two(tmp_path: Path) -> list[Manifest]:
    first = corpus(tmp_path / "here", "one", "ansb-", text_id="t1", age=30.0)
    return [first, corpus(tmp_path / "there", "two", "anc", sr=8_000, text_id="t1", level=1.0)]


def test_rows_are_those_of_both(two: list[Manifest]) -> None:
    """Common labels, files below their corpus, codes that do not meet, missing cells empty.

    Meant to catch: the union of the labels, text_id as it was, the corpus column left alone.
    """
    m = joined(two)
    assert m.name == "one+two"
    assert m.labels == ("anger", "neutral")
    files = list(m.rows.index.get_level_values("file"))
    assert files == [f"one/x{s}{e}.wav" for s in "12" for e in "an"] + [
        f"two/x{s}{e}.wav" for s in "12" for e in "an"
    ]
    assert list(m.rows["corpus"]) == ["one"] * 4 + ["two"] * 4
    assert list(m.rows["speaker"]) == ["1", "1", "2", "2"] * 2
    assert set(m.rows["text_id"]) == {"one/t1", "two/t1"}
    assert m.rows["age"].tolist()[:4] == [30.0] * 4
    assert m.rows["age"].isna().tolist() == [False] * 4 + [True] * 4
    assert m.rows["level"].isna().tolist() == [True] * 4 + [False] * 4
    assert m.card is not None
    assert m.card.licence == "licence of one (one); licence of two (two)"
    assert m.card.warnings == ("one: acted", "two: acted")
    # what went in is as it was
    assert len(two[0]) == 10
    assert set(two[0].rows["corpus"]) == {"?"}


def test_every_file_is_found_where_it_lies(two: list[Manifest], tmp_path: Path) -> None:
    m = joined(two)
    assert all(m.path(f).is_file() for f in m.files)
    assert m.path("two/x1a.wav") == (tmp_path / "there" / "two" / "x1a.wav").resolve()
    for bad in ("two/../secret.wav", "two//etc/passwd", "../x.wav"):
        with pytest.raises(ManifestError, match="not a name below"):
            m.path(bad)


def test_features_are_the_same_and_are_not_computed_again(
    two: list[Manifest], tmp_path: Path
) -> None:
    """The store knows clips by content. Meant to catch: roots mixed up (other numbers)."""
    store = tmp_path / "store"
    alone = [extract(m.labelled(), "prosody", store=store) for m in two]
    both = extract(joined(two), "prosody", store=store)
    assert both.computed == 0
    assert not both.failures
    table = both.table
    for m, one in zip(two, alone, strict=True):
        for file in m.select(emotion=["anger", "neutral"]).files:
            np.testing.assert_array_equal(
                table.xs(f"{m.name}/{file}", level="file").to_numpy(),
                one.table.xs(file, level="file").to_numpy(),
            )


def test_labels_can_be_mapped_and_chosen(two: list[Manifest]) -> None:
    """calm counts as sadness: then three labels are common. Meant to catch: mapping ignored."""
    maps = {"two": {"calm": "sadness"}}
    m = joined(two, label_maps=maps)
    assert m.labels == ("anger", "neutral", "sadness")
    assert joined(two, labels=["anger", "sadness"], label_maps=maps).labels == ("anger", "sadness")
    with pytest.raises(UnknownNameError, match="unknown common label 'sadness'"):
        joined(two, labels=["anger", "sadness"])
    with pytest.raises(UnknownNameError, match="unknown corpus 'tow'; did you mean 'two'"):
        joined(two, label_maps={"tow": {}})
    with pytest.raises(UnknownNameError, match="unknown label 'clam'; did you mean 'calm'"):
        joined(two, label_maps={"two": {"clam": "neutral"}})
    with pytest.raises(UnknownNameError, match="unknown label 'sadnes'"):
        joined(two, label_maps={"two": {"calm": "sadnes"}})


def test_report_says_what_was_done(two: list[Manifest]) -> None:
    """Counts by hand: two speakers, one clip of each label. Meant to catch: counts of the other
    corpus, unlabelled clips forgotten, the rate of the features in place of the file's."""
    report = join_report(two, label_maps={"two": {"calm": "sadness"}})
    assert report["labels"] == ["anger", "neutral", "sadness"]
    assert report["mapped"] == [
        {"corpus": "two", "label": "calm", "counts_as": "sadness", "clips": 2}
    ]
    assert report["dropped"] == [
        {"corpus": "one", "label": "unlabelled", "clips": 2},
        {"corpus": "one", "label": "boredom", "clips": 2},
    ]
    one, other = report["confounds"]
    assert (one["clips"], one["speakers"], one["sample_rates"]) == (6, 2, {"16000": 6})
    assert other["sample_rates"] == {"8000": 6}
    assert one["seconds_median"] == 1.0
    assert one["shares"] == dict.fromkeys(report["labels"], pytest.approx(1 / 3, abs=1e-3))
    assert "two: calm counts as sadness (2 clips)." in report["words"]
    assert "one: unlabelled (2 clips), boredom (2 clips) left out." in report["words"]
    assert "sample_rates" not in join_report(two, audio=False)["confounds"][0]


def test_segments_last_as_long_as_they_last(two: list[Manifest]) -> None:
    """A row of 0.2 to 0.6 s, and one from 0.9 s to the end. Meant to catch: length of the file."""
    rows = rows_from_records(
        [
            {"file": "x1a.wav", "start": 0.2, "end": 0.6, "emotion": "anger"},
            {"file": "x1n.wav", "start": 0.9, "emotion": "neutral"},
        ]
    ).assign(corpus="one", speaker="1")
    part = two[0].with_rows(rows)
    report = join_report([part, two[1]])
    assert report["confounds"][0]["seconds_median"] == pytest.approx(0.25)
    index = list(joined([part, two[1]]).rows.index)
    assert index[0] == ("one/x1a.wav", pd.Timedelta(0.2, "s"), pd.Timedelta(0.6, "s"))
    assert index[1][2] is pd.NaT


def test_what_cannot_be_joined(two: list[Manifest]) -> None:
    with pytest.raises(ManifestError, match="1 corpora, expected two or more"):
        joined(two[:1])
    with pytest.raises(ManifestError, match="two manifests called 'one'"):
        joined([two[0], two[0]])
    with pytest.raises(ManifestError, match="'a/b' cannot be the name of a folder"):
        joined([two[0], replace(two[1], name="a/b")])
    with pytest.raises(ManifestError, match=r"of several corpora already"):
        joined([joined(two), replace(two[1], name="three")])
    other = two[1].select(emotion="calm")
    with pytest.raises(ManifestError, match=r"share 0 labels .*two: calm"):
        joined([two[0], other])


def test_a_column_that_is_text_somewhere_is_text(tmp_path: Path) -> None:
    """1.0 of the one and "strong" of the other. Meant to catch: "1.0", "nan"."""
    m = joined(
        [
            corpus(tmp_path, "one", "an", level=1.0, votes_anger=2.0),
            corpus(tmp_path, "two", "an", level="strong"),
        ]
    )
    assert list(m.rows["level"]) == ["1"] * 4 + ["strong"] * 4
    assert m.rows["votes_anger"].isna().sum() == 4


def test_it_can_be_written_and_read(two: list[Manifest], tmp_path: Path) -> None:
    """The side-car holds the roots. Meant to catch: roots relative to the working folder."""
    m = joined(two)
    again = read_manifest(write_manifest(m, tmp_path / "rows" / "both.csv"))
    pd.testing.assert_frame_equal(again.rows, m.rows)
    assert [again.path(f).resolve() for f in m.files] == [m.path(f) for f in m.files]
    assert again.card is not None
    assert again.card.licence == m.card.licence  # type: ignore[union-attr]


def test_real_corpora(shared: Path) -> None:
    """EMO-DB and RAVDESS share six emotions; 81 + 320 clips have another one."""
    roots = [shared / "corpora" / name for name in ("emodb", "ravdess")]
    if not all(r.is_dir() for r in roots):
        pytest.skip("EMO-DB or RAVDESS is not there")
    both = [read_corpus(r.name, r).labelled() for r in roots]
    m = joined(both)
    assert m.labels == ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
    assert (m.rows["corpus"] == "emodb").sum() == 535 - 81
    assert m.path(m.files[-1]).is_file()
    words = join_report(both, audio=False)["words"]
    assert "emodb: boredom (81 clips) left out." in words
