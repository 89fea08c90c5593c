"""Ragged sequences index like the list of their clips."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from serfeat.errors import FeatureError, StoreError
from serfeat.sequences import Sequences, read_mapped, write_mapped

CLIPS = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) + n for n in (3, 1, 4)]


def test_indexing() -> None:
    s = Sequences.of(CLIPS)
    assert (s.shape, len(s)) == ((3, 2), 3)
    assert s.lengths.tolist() == [3, 1, 4]
    for which in ([2, 0], np.array([2, 0]), slice(None, None, -2)):
        part = s[which]
        for got, expected in zip(part, [CLIPS[2], CLIPS[0]], strict=True):
            np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(s[np.array([False, True, False])][0], CLIPS[1])
    np.testing.assert_array_equal(s[-1], CLIPS[2])
    assert len(s[[]]) == 0
    with pytest.raises(IndexError):
        s[3]


def test_sklearn_can_split_it() -> None:
    from sklearn.model_selection import GroupKFold
    from sklearn.utils import _safe_indexing

    s = Sequences.of(CLIPS)
    train, _ = next(GroupKFold(3).split(s, [0, 1, 2], groups=[0, 1, 2]))
    assert len(_safe_indexing(s, train)) == 2


def test_bad_offsets() -> None:
    values = np.zeros((4, 2), dtype=np.float32)
    for offsets in ([0, 5], [1, 4], [0, 2, 2, 4]):
        with pytest.raises(FeatureError):
            Sequences(values, np.array(offsets))


# --- on the disk ----------------------------------------------------------------------------------

LENGTHS = [3, 1, 4, 2, 6]


@pytest.fixture
def both(tmp_path: Path) -> tuple[Sequences, Sequences]:
    """The same clips in memory and on the disk."""
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal((n, 3)).astype(np.float32) for n in LENGTHS]
    inside = Sequences.of(clips)
    starts = inside.offsets[:-1].tolist()
    parts = list(zip(starts, clips, strict=True))[::-1]
    outside = write_mapped(tmp_path / "m" / "frames", (16, 3), inside.offsets, parts)
    return inside, outside


def same(a: Sequences, b: Sequences) -> None:
    assert (a.shape, len(a), a.offsets.tolist()) == (b.shape, len(b), b.offsets.tolist())
    np.testing.assert_array_equal(a.lengths, b.lengths)
    np.testing.assert_array_equal(a.values, b.values)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_map_is_like_memory(both: tuple[Sequences, Sequences]) -> None:
    """Seen to fail with a choice of a choice that counts from the first one's rows."""
    inside, outside = both
    assert (inside.mapped, outside.mapped) == (False, True)
    same(inside, outside)
    for which in ([4, 0, 2], slice(1, 4), np.array([True, False, True, True, False]), [], [2, 2]):
        same(inside[which], outside[which])
        assert outside[which].mapped
    same(inside[[4, 2, 0]][[2, 0]], outside[[4, 2, 0]][[2, 0]])
    np.testing.assert_array_equal(inside[-1], outside[-1])
    np.testing.assert_array_equal(inside.columns(1, 3), inside.values[:, 1:])
    np.testing.assert_array_equal(outside[[3, 1]].columns(1, 2), inside[[3, 1]].values[:, 1:2])


def test_choosing_reads_nothing(both: tuple[Sequences, Sequences]) -> None:
    """Clips in a row are views of the base, in memory too."""
    for clips in both:
        assert np.shares_memory(clips[1:4].values, clips._base)
        assert clips[[4, 0]].mapped is clips.mapped
    inside, outside = both
    assert not np.shares_memory(inside[[4, 0]].values, inside._base)
    assert np.shares_memory(outside[[4, 0]][0], outside._base)
    with pytest.raises(ValueError, match="read-only"):
        outside[0][0, 0] = 1


def test_blocks_are_whole_clips(both: tuple[Sequences, Sequences]) -> None:
    for clips in both:
        blocks = list(clips[[4, 3, 2, 1, 0]].blocks(values=7 * 3))
        assert [b.lengths.tolist() for b in blocks] == [[6], [2, 4, 1], [3]]
        joined = np.concatenate([b.values for b in blocks])
        np.testing.assert_array_equal(joined, clips[[4, 3, 2, 1, 0]].values)
        assert [len(b) for b in clips.blocks(values=1)] == [1] * 5
    assert list(both[0][[]].blocks()) == []


def test_each_frame_is_done_when_asked_for(both: tuple[Sequences, Sequences]) -> None:
    """The same numbers; on the disk, only those of the clip. Seen to fail with steps that a choice
    forgets."""
    seen: list[int] = []

    def doubled(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return np.concatenate([2 * x, np.isnan(x[:, :1])], axis=1)

    inside, outside = (clips.each_frame(doubled) for clips in both)
    assert seen == [16]
    seen.clear()
    assert outside[[4, 1]].shape == (2, 4)
    np.testing.assert_array_equal(outside[[4, 1]][0], inside[4])
    assert set(seen) == {0, 6}  # the columns were counted without a frame
    same(inside, outside)
    same(inside[[4, 1]], outside[[4, 1]].each_frame(lambda x: x))


def test_a_map_that_is_not_what_was_written(tmp_path: Path) -> None:
    clips = Sequences.of(CLIPS)
    parts = [(0, clips.values)]
    write_mapped(tmp_path / "x", (8, 2), clips.offsets, parts)
    (frames,) = tmp_path.glob("*.npy")
    stem = frames.with_suffix("")
    same(read_mapped(stem), clips)
    frames.write_bytes(frames.read_bytes()[:-8])
    with pytest.raises(StoreError, match="not the frames"):
        read_mapped(stem)
    frames.unlink()
    with pytest.raises(StoreError, match="no such frames"):
        read_mapped(stem)
    nothing = write_mapped(tmp_path / "n", (0, 2), np.zeros(1, dtype=np.int64), [])
    assert nothing.shape == (0, 2)


def test_one_clip_is_there_at_once(tmp_path: Path) -> None:
    """Random access under 0.1 ms: the median of a thousand clips among 20 000."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 15, 20_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.zeros((offsets[-1], 40), dtype=np.float32)
    clips = write_mapped(tmp_path / "x", values.shape, offsets, [(0, values)])
    taken = []
    for i in rng.integers(0, 20_000, 1000).tolist():
        begin = time.perf_counter()
        clips[i].sum()
        taken.append(time.perf_counter() - begin)
    assert np.median(taken) < 1e-4
