"""What the views Emotion, Runs and Corpus compute, against hand-counted and independent values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import AudioError, FeatureError, StoreError, UnknownNameError
from serfeat.lab.corpus_tables import (
    distribution,
    flat,
    groups_of,
    neighbours,
    overview,
    seconds_of,
    separation,
)
from serfeat.lab.emotion_said import Heard, windows
from serfeat.lab.run_tables import by_speaker, clips, confusion, of_entry, runs_below, said, versus
from serfeat.manifest import Manifest, rows_from_records

LABELS = ["anger", "calm"]


def predictions() -> pd.DataFrame:
    """Two speakers, six clips, two entries; the second entry lacks one clip."""
    said_of = {  # clip: speaker, truth, entry a (and its p of anger), entry b
        "1.wav": ("s1", "anger", ("anger", 0.9), ("anger", 0.6)),
        "2.wav": ("s1", "anger", ("calm", 0.2), ("anger", 0.7)),
        "3.wav": ("s1", "calm", ("calm", 0.4), ("anger", 0.8)),
        "4.wav": ("s2", "calm", ("anger", 0.6), ("anger", 0.9)),
        "5.wav": ("s2", "anger", ("anger", 0.7), ("calm", 0.1)),
        "6.wav": ("s2", "calm", ("calm", 0.1), None),
    }
    rows = []
    for file, (speaker, truth, *answers) in said_of.items():
        for entry, answer in zip("ab", answers, strict=True):
            if answer is not None:
                rows.append(
                    {"corpus": "c", "file": file, "start": 0.0, "end": math.nan}
                    | {"speaker": speaker, "truth": truth, "prediction": answer[0]}
                    | {"entry": entry, "protocol": "p", "fold": speaker, "seed": 0}
                    | {"p_anger": answer[1], "p_calm": 1 - answer[1]}
                )
    return pd.DataFrame(rows)


def entry(name: str) -> pd.DataFrame:
    return of_entry(predictions(), "p", name)


# --- runs -------------------------------------------------------------------------------------


def test_confusion_by_hand() -> None:
    """Rows are the truth. Seen to fail with truth and prediction exchanged."""
    found = confusion(entry("a"), LABELS)
    assert found["counts"] == [[2, 1], [1, 2]]
    assert found["recall"] == pytest.approx([2 / 3, 2 / 3])
    assert found["uar"] == pytest.approx(2 / 3)
    assert found["seeds"] == 1
    assert confusion(entry("b"), LABELS)["counts"] == [[2, 1], [2, 0]]
    third = confusion(entry("a"), [*LABELS, "fear"])
    assert math.isnan(third["recall"][2])


def test_speakers_by_hand_the_worst_first() -> None:
    """s1: anger 1 of 2, calm 1 of 1; s2: anger 1 of 1, calm 1 of 2."""
    rows = pd.concat([entry("a"), entry("a").assign(seed=1)])
    found = by_speaker(rows, LABELS)
    assert [(s["speaker"], s["n"]) for s in found] == [("s1", 3), ("s2", 3)]
    assert [s["uar"] for s in found] == pytest.approx([0.75, 0.75])
    worst = by_speaker(entry("b"), LABELS)
    assert [s["speaker"] for s in worst] == ["s2", "s1"]
    assert worst[0]["uar"] == 0


def test_clips_of_a_cell_the_surest_first() -> None:
    """Seen to fail with the chance of the truth in place of what was said."""
    found = clips(entry("a"), prediction="calm")
    assert [r["file"] for r in found["rows"]] == ["6.wav", "2.wav", "3.wav"]
    assert [r["chance"] for r in found["rows"]] == pytest.approx([0.9, 0.8, 0.6])
    cell = clips(entry("a"), truth="anger", prediction="calm")
    assert [r["file"] for r in cell["rows"]] == ["2.wav"]
    page = clips(entry("a"), first=4, count=50)
    assert (page["total"], len(page["rows"])) == (6, 2)


def test_two_entries_clip_by_clip_by_hand() -> None:
    """Both right 1; only a 3, 5; only b 2; neither 4; clip 6 has no partner.

    Seen to fail with the two entries exchanged.
    """
    found = versus(entry("a"), entry("b"), LABELS)
    assert found["counts"] == {"both": 1, "first": 2, "second": 1, "neither": 1}
    assert found["unpaired"] == 1
    assert {r["file"] for r in found["rows"]} == {"2.wav", "3.wav", "5.wav"}
    assert found["by_truth"][0] == (
        {"truth": "anger", "both": 1, "first": 1, "second": 1, "neither": 0}
    )
    only = versus(entry("a"), entry("b"), LABELS, who="second")
    assert [(r["file"], r["first"], r["second"]) for r in only["rows"]] == (
        [("2.wav", "calm", "anger")]
    )
    other = versus(entry("b"), entry("a"), LABELS)
    assert other["counts"] == {"both": 1, "first": 1, "second": 2, "neither": 1}
    with pytest.raises(UnknownNameError):
        versus(entry("a"), entry("b"), LABELS, who="nobody")


def test_unknown_entries_and_protocols_are_named() -> None:
    for words in (("p", "c"), ("q", "a")):
        with pytest.raises(UnknownNameError):
            of_entry(predictions(), *words)


def test_runs_are_found_below_their_folder_and_nowhere_else(tmp_path: Path) -> None:
    """A link out of the folder is no run of it. Seen to fail without the look at the real path."""
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    for folder in (runs / "a", runs / "deep" / "b", outside):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    (runs / "c").mkdir()
    (runs / "c" / "run.json").symlink_to(outside / "run.json")
    found = runs_below(runs)
    assert {p.relative_to(runs).as_posix() for p in found.values()} == {"a", "deep/b"}
    assert all(len(run) == 16 for run in found)
    assert runs_below(runs) == found
    assert runs_below(tmp_path / "absent") == {}


def test_a_damaged_run_is_one_line_without_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for text in ("", "[]", '{"labels": 3}', '{"labels": []}'):
        (folder / "run.json").write_text(text)
        with pytest.raises(StoreError) as wrong:
            said(folder)
        assert "\n" not in str(wrong.value)
        assert str(tmp_path) not in str(wrong.value)
    (folder / "predictions.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError):
        said(folder)


# --- corpus -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> tuple[Any, list[str], list[str]]:
    """(values, emotions, speakers): 90 clips, 5 columns, two of which say something."""
    rng = np.random.default_rng(3)
    emotion = np.array(["anger", "calm", "fear"])[rng.integers(0, 3, 90)]
    speaker = np.array(["s1", "s2"])[rng.integers(0, 2, 90)]
    X = rng.normal(size=(90, 5))
    X[:, 0] += 3 * (emotion == "anger")
    X[:, 1] += 2 * (speaker == "s1")
    return X, list(emotion), list(speaker)


def test_separation_is_that_of_an_analysis_of_variance(table: Any) -> None:
    """Against scikit-learn's F: eta squared = F (k - 1) / (F (k - 1) + n - k)."""
    from sklearn.feature_selection import f_classif

    X, emotion, _ = table
    F = f_classif(X, emotion)[0]
    np.testing.assert_allclose(separation(X, emotion), F * 2 / (F * 2 + 90 - 3))
    np.testing.assert_allclose(separation(1e6 * X + 1e9, emotion), separation(X, emotion), 1e-6)


def test_separation_leaves_out_what_is_undefined() -> None:
    """(1, 1, NaN | 3, 3): all of the variance is between; a constant column has none."""
    X = np.array([[1, 5, np.nan], [1, 5, np.nan], [np.nan, 5, np.nan], [3, 5, np.nan], [3, 5, 1]])
    found = separation(X, ["a", "a", "a", "b", "b"])
    assert found[0] == pytest.approx(1.0)
    assert np.isnan(found[1:]).all()


def test_distribution_against_numpy(table: Any) -> None:
    X, emotion, _ = table
    x = X[:, 0].copy()
    x[3] = np.nan
    found = distribution(x, emotion)
    assert [g["name"] for g in found["groups"]] == ["anger", "calm", "fear"]
    for group in found["groups"]:
        mine = x[(np.array(emotion) == group["name"])]
        kept = mine[~np.isnan(mine)]
        assert (group["n"], group["undefined"]) == (len(kept), len(mine) - len(kept))
        np.testing.assert_allclose(
            group["quantiles"], np.quantile(kept, [0.05, 0.25, 0.5, 0.75, 0.95])
        )
        assert sum(group["density"]) == pytest.approx(1.0)
        assert len(group["density"]) == len(found["edges"]) - 1


def test_distribution_of_nothing_and_of_a_constant() -> None:
    empty = distribution([np.nan, np.nan], ["a", "b"])
    assert [g["n"] for g in empty["groups"]] == [0, 0]
    same = distribution([2.0, 2.0], ["a", "a"])
    assert same["edges"][0] < 2 < same["edges"][-1]


def test_map_is_that_of_scikit_learn_and_forgets_units(table: Any) -> None:
    """Against StandardScaler and PCA, up to sign. Seen to fail without standardising."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    X = table[0]
    found = flat(np.column_stack([X * [1, 1000, 1, 1e-3, 1], np.full(90, 7.0)]))
    reference = PCA(2).fit(StandardScaler().fit_transform(X))
    place = reference.transform(StandardScaler().fit_transform(X))
    np.testing.assert_allclose(found["explained"], reference.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found["x"]), np.abs(place[:, 0]), atol=1e-4)
    np.testing.assert_allclose(np.abs(found["y"]), np.abs(place[:, 1]), atol=1e-4)
    assert "5 standardised columns" in found["words"]


def test_map_of_too_little_is_refused() -> None:
    for values in (np.ones((2, 5)), np.ones((9, 5)), np.empty((0, 4))):
        with pytest.raises(FeatureError):
            flat(values)
    with pytest.raises(UnknownNameError):
        flat(np.ones((5, 5)), "tsne")


def test_neighbours_are_those_of_scikit_learn(table: Any) -> None:
    """Seen to fail where a clip may be its own neighbour."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    X, emotion, speaker = table
    z = StandardScaler().fit_transform(X)
    nearest = NearestNeighbors(n_neighbors=2).fit(z).kneighbors(z)[1][:, 1]
    found = neighbours(X, {"emotion": emotion, "speaker": speaker})
    for name, groups in (("emotion", emotion), ("speaker", speaker)):
        codes = np.array(groups)
        assert found[name]["same"] == pytest.approx((codes == codes[nearest]).mean())
    pairs = [(a, b) for i, a in enumerate(emotion) for j, b in enumerate(emotion) if i != j]
    assert found["emotion"]["chance"] == pytest.approx(np.mean([a == b for a, b in pairs]))


def test_a_corpus_of_ten_thousand_clips_is_laid_flat_in_seconds() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10_000, 60)).astype(np.float32)
    groups = list(rng.choice(["a", "b"], 10_000))
    assert len(flat(X)["x"]) == 10_000
    assert neighbours(X, {"emotion": groups})["emotion"]["same"] == pytest.approx(0.5, abs=0.05)


def test_overview_by_hand(tmp_path: Path) -> None:
    """Seen to fail with the empty pairs counted as clips."""
    rows = rows_from_records(
        [
            {"file": f"{i}.wav", "corpus": "c", "speaker": s, "emotion": e, "sex": "female"}
            for i, (s, e) in enumerate(
                [("s1", "anger"), ("s1", "anger"), ("s1", "calm"), ("s2", "anger"), ("", "")]
            )
        ]
    )
    found = overview(Manifest(rows, tmp_path, "c"))
    assert [(e["name"], e["clips"]) for e in found["emotions"][:1]] == [("anger", 3)]
    assert found["imbalance"] == 3.0
    assert found["speakers"] == 2
    assert found["coverage"]["speakers"] == ["(unknown)", "s1", "s2"]
    assert found["coverage"]["emotions"] == ["(unlabelled)", "anger", "calm"]
    assert found["coverage"]["counts"] == [[1, 0, 0], [0, 2, 1], [0, 1, 0]]
    assert found["empty"] == 5
    with pytest.raises(UnknownNameError):
        groups_of(Manifest(rows, tmp_path, "c"), "mood")


def test_durations_come_from_bounds_columns_and_headers(tiny: Path, tmp_path: Path) -> None:
    """Of the embedded corpus, against the samples; of a file that is no sound: NaN."""
    import soundfile

    from serfeat.manifest_csv import read_manifest

    corpus = read_manifest(tiny)
    bare = corpus.with_rows(corpus.rows.drop(columns=["duration"], errors="ignore"))
    lengths = [soundfile.info(str(corpus.path(f))).duration for f in corpus.files]
    np.testing.assert_allclose(seconds_of(bare)["seconds"], lengths, rtol=1e-6)
    (tmp_path / "no.wav").write_bytes(b"RIFF")
    nobody = {"corpus": "c", "speaker": "s", "emotion": "anger"}
    rows = rows_from_records(
        [
            {"file": "no.wav", **nobody},
            {"file": "cut.wav", "start": 1.0, "end": 2.5, **nobody},
            {"file": "absent.wav", **nobody},
        ]
    )
    found = seconds_of(Manifest(rows, tmp_path, "c"))["seconds"]
    np.testing.assert_allclose(found, [np.nan, 1.5, np.nan])


# --- emotion ----------------------------------------------------------------------------------


def test_windows_cover_the_recording_and_are_not_too_many() -> None:
    """Closed form: the last one ends with the recording. Seen to fail without it."""
    assert windows(0.7, 1.0, 0.25) == ([(0.0, 0.7)], 0.25)
    spans, step = windows(2.1, 1.0, 0.5)
    np.testing.assert_allclose(spans, [(0, 1), (0.5, 1.5), (1, 2), (1.1, 2.1)])
    assert step == 0.5
    many, wide = windows(60.0, 1.0, 0.02)
    assert len(many) <= 81
    assert wide > 0.02
    assert many[-1][1] == pytest.approx(60.0)


def test_the_part_that_is_asked_about(tmp_path: Path) -> None:
    """Samples of a part; what is too short or too long is refused, with what to do."""
    ramp = np.arange(16_000 * 61, dtype=np.float32) / 1e6
    np.save(tmp_path / "x.npy", ramp)
    heard = Heard(tmp_path / "x.npy", 16_000, tmp_path / "x.wav", start=1.0, end=3.0)
    np.testing.assert_array_equal(heard.at(16_000), ramp[16_000:48_000])
    for start, end in ((0.0, None), (3.0, 3.0), (70.0, None), (5.0, 1.0)):
        with pytest.raises(AudioError) as wrong:
            Heard(tmp_path / "x.npy", 16_000, tmp_path / "x.wav", start=start, end=end).at(16_000)
        assert "choose a part" in str(wrong.value)
