"""Ragged sequences index like the list of their clips."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import FeatureError
from serfeat.sequences import Sequences

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
