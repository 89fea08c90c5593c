"""Batches of clips of similar length: every clip once, little padding, no clip alone."""

from __future__ import annotations

import numpy as np

from serfeat.models.batches import batches


def test_batches_hold_every_clip_once_and_no_clip_alone():
    rng = np.random.default_rng(0)
    for n in (2, 5, 16, 17, 33, 129, 257):
        lengths = rng.integers(10, 500, n)
        made = batches(lengths, 16, rng)
        assert sorted(np.concatenate(made).tolist()) == list(range(n))
        assert min(len(b) for b in made) > 1
        assert max(len(b) for b in made) <= 17


def test_batches_hold_clips_of_similar_length_in_random_order():
    lengths = np.random.default_rng(0).integers(50, 900, 512)
    made = batches(lengths, 32, np.random.default_rng(1))
    padded = sum(len(b) * lengths[b].max() for b in made)
    assert padded < 1.12 * lengths.sum()  # random batches: about 1.8
    longest = [lengths[b].max() for b in made]
    assert longest != sorted(longest)
