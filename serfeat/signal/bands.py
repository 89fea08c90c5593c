"""Power in the bands of a filter bank, of all frames.

A bank of overlapping triangles has two weights at each bin, whatever the number of its bands: as a
matrix it is nearly all zeros. Here it is kept band by band, and only what is not zero is used.

Contents
--------
`SparseBank`, `sparse_bank` : a bank, prepared.
`band_powers`               : its bands' powers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.jit import COMPILED, jit
from serfeat.types import Floats, Ints

__all__ = ["SparseBank", "band_powers", "sparse_bank"]


class SparseBank(NamedTuple):
    """A bank by its weights that are not 0: most of a triangular bank is.

    Attributes
    ----------
    matrix : (n_bins, n_bands) all weights.
    first : (n_bands,) the lowest bin with a weight.
    start : (n_bands + 1,) band b has ``weights[start[b] : start[b + 1]]``.
    weights : the weights from the first to the last bin of each band, band after band.
    """

    matrix: Floats
    first: Ints
    start: Ints
    weights: Floats


def sparse_bank(bank: ArrayLike) -> SparseBank:
    """Prepare a bank (n_bands, n_bins) for `band_powers`."""
    dense = np.asarray(bank, dtype=np.float64)
    spans = []
    for row in dense:
        used = np.flatnonzero(row)
        spans.append((used[0], used[-1] + 1) if len(used) else (0, 0))
    start = np.cumsum([0, *(end - first for first, end in spans)])
    weights = np.concatenate([row[a:b] for row, (a, b) in zip(dense, spans, strict=True)])
    first = np.array([a for a, _ in spans], dtype=np.int64)
    matrix = np.ascontiguousarray(dense.T)
    return SparseBank(matrix, first, start.astype(np.int64), weights)


@jit
def _band_sums(
    power: Floats, first: Ints, start: Ints, weights: Floats, floor: float, out: Floats
) -> None:
    """Weighted sums of the bins of each band, of four frames at a time.

    A sum waits for its last addition; four that do not depend on each other fill the wait. Each is
    in the order of the bins, so a frame's bits do not depend on its neighbours.
    """
    last = len(power) - 1
    for t in range(0, last + 1, 4):
        i, j, k = min(t + 1, last), min(t + 2, last), min(t + 3, last)
        p, q, r, s = power[t], power[i], power[j], power[k]
        for b in range(len(first)):
            a0, a1, a2, a3 = 0.0, 0.0, 0.0, 0.0
            at = first[b]
            for n in range(start[b], start[b + 1]):
                weight = weights[n]
                a0 += weight * p[at]
                a1 += weight * q[at]
                a2 += weight * r[at]
                a3 += weight * s[at]
                at += 1
            out[t, b], out[i, b] = max(a0, floor), max(a1, floor)
            out[j, b], out[k, b] = max(a2, floor), max(a3, floor)


def band_powers(power: Floats, bank: SparseBank, floor: float = 0.0) -> Floats:
    """Power in each band, ``max(power @ bank.matrix, floor)``, without multiplying by zeros.

    Parameters
    ----------
    power : (n_frames, n_bins).
    bank : from `sparse_bank`.
    floor : least value.

    Returns
    -------
    (n_frames, n_bands) of its own: the caller may change it.
    """
    # The matrix product is faster from about a fifth of non-zeros on (a gammatone bank).
    if COMPILED and 5 * len(bank.weights) < bank.matrix.size:
        out = np.empty((len(power), len(bank.first)))
        _band_sums(power, bank.first, bank.start, bank.weights, floor, out)
        return out
    bands: Floats = power @ bank.matrix
    return np.maximum(bands, floor, out=bands)
