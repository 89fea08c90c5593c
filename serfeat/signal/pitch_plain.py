"""The loops of the pitch analysis with whole arrays: what runs where nothing is compiled.

`serfeat.signal.pitch` explains the method; every function here does what the kernel there does, for
many frames at once, and takes the same arguments. Sums are added up in another order, so that
values differ in the last digits (1e-12 and less); the decisions are the same. The arrays of one
call stay small whatever the length of the clip: what grows with the frames times the samples of a
frame is done a block of frames at a time.

Contents
--------
`local_means`, `peaks` : level of the signal around every centre.
`tabled_peaks`         : maxima of many sequences between their samples.
`collect`              : the candidates of many autocorrelations.
`smoothest`            : the best path through a lattice, whatever its costs are.
`best_path`            : that of the pitch analysis.

Sources
-------
Those of `serfeat.signal.pitch`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serfeat.shorttime import cut_frames
from serfeat.types import Floats, Ints, Reals

__all__ = ["best_path", "collect", "local_means", "peaks", "smoothest", "tabled_peaks"]

BLOCK = 64  # frames cut at a time
COLUMN = 256  # frames of a path whose costs are kept at a time: 15 x 15 of them are 0.5 MiB
TURNS = 4  # of the search for the three places around a maximum, as in `pitch.tabled_peak`


def local_means(signal: Floats, hop: int, period: int, n: int) -> Floats:
    """Mean of the samples within a longest period of each centre; only samples of the clip count.

    Returns
    -------
    (n,) means.
    """
    after = max(0, (n - 1) * hop + period - len(signal))
    padded = np.pad(signal, (period, after))
    totals = np.lib.stride_tricks.sliding_window_view(padded, 2 * period)[::hop][:n].sum(axis=1)
    centres = np.arange(n) * hop
    count = np.minimum(centres + period, len(signal)) - np.maximum(centres - period, 0)
    return np.asarray(totals / np.maximum(count, 1))


def peaks(
    signal: Floats, hop: int, mean: Floats, weights: Floats, reach: int, enough: float
) -> Floats:
    """Find the largest windowed sample near the centre of every frame: see `pitch._peaks`.

    Returns
    -------
    (n_frames,) peaks, at most `enough`.
    """
    half = len(weights) // 2
    near = weights[half - reach : half + reach]
    peak = np.empty(len(mean))
    block = np.empty((min(BLOCK, len(mean)), len(near)))
    for first in range(0, len(mean), BLOCK):
        level = mean[first : first + BLOCK]
        frames = block[: len(level)]
        cut_frames(signal, (first + np.arange(len(level))) * hop - reach, near, frames, level)
        np.abs(frames, out=frames).max(axis=1, out=peak[first : first + BLOCK])
    return np.minimum(peak, enough)


def tabled_peaks(y: Floats, row: Ints, table: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Find the maximum of sequences between their samples: `pitch.tabled_peak`, of many.

    Parameters
    ----------
    y : (rows, m) sequences, each with samples -depth, ..., -1, 0, 1, 2, ...
    row : (k,) the sequence in which each maximum is.
    table : (FINE, 2 depth) weights.
    x : (k,) first guesses, in samples.

    Returns
    -------
    two (k,) arrays: places and values.
    """
    fine, size = table.shape
    # The samples around the three places are one stretch: the third place may need one more.
    stretches = np.lib.stride_tricks.sliding_window_view(y, size + 1, axis=1)
    wide = np.zeros((fine + 2, size + 1))
    wide[:fine, :size], wide[fine:, 1:] = table, table[:2]
    at = np.rint(x * fine).astype(np.int64)
    lowest, highest = at - fine, at + fine
    values = np.empty((3, len(x)))
    move, going = np.zeros(len(x)), np.arange(len(x))
    for _ in range(TURNS):
        here = at[going]
        base, rest = np.divmod(here - 1, fine)
        parts = stretches[row[going], base + 1]
        left, middle, right = (np.einsum("kn,kn->k", wide[rest + p], parts) for p in range(3))
        values[:, going] = left, middle, right
        bend = (middle - left) + (middle - right)
        step = np.divide(0.5 * (right - left), bend, out=np.zeros_like(bend), where=bend > 0.0)
        goal = here + step
        far = (np.abs(step) > 1.0) & (goal >= lowest[going]) & (goal <= highest[going])
        move[going] = np.where(far, 0.0, np.clip(step, -1.0, 1.0))
        if not far.any():
            break
        going = going[far]
        at[going] += np.rint(step[far]).astype(np.int64)
    return (at + move) / fine, values[1] + 0.25 * (values[2] - values[0]) * move


def collect(
    r: Reals,
    correction: Floats,
    table: Floats,
    shortest: float,
    longest: float,
    least: float,
    octave_cost: float,
    lags: Floats,
    strengths: Floats,
) -> None:
    """Collect the local maxima of every autocorrelation: see `pitch._candidates`."""
    depth, most = table.shape[1] // 2, lags.shape[1]
    energy = r[:, :1].astype(np.float64)
    rows = r[:, : len(correction)] * correction * (1.0 / np.where(energy > 0.0, energy, np.inf))
    first, last = max(2, int(shortest) - 1), int(longest) + 2
    here, before, after = (rows[:, first + k : last + k] for k in (0, -1, 1))
    maxima = (here > least) & (here > before) & (here >= after)
    row, k = np.divmod(np.flatnonzero(maxima), last - first)  # several times as fast as np.nonzero
    top, left, right = here[row, k], before[row, k], after[row, k]
    guess = first + k + 0.5 * (right - left) / ((top - left) + (top - right))
    mirrored = np.concatenate([rows[:, depth:0:-1], rows], axis=1)
    lag, height = tabled_peaks(mirrored, row, table, guess)

    kept = (lag > shortest) & (lag <= longest)
    row, lag, height = row[kept], lag[kept], height[kept]
    height = np.where(height > 1.0, 1.0 / height, height)
    begin = np.searchsorted(row, np.arange(len(r) + 1))
    place = np.arange(len(row)) - begin[row]  # the maxima come frame by frame, by rising lag
    fits = place < most
    lags[row[fits], place[fits]] = lag[fits]
    strengths[row[fits], place[fits]] = height[fits]
    for c in np.flatnonzero(~fits):
        # full: the weakest candidate, high ones favoured, gives way
        i = row[c]
        local = strengths[i] - octave_cost * np.log2(lags[i])
        weakest = local.argmin()
        if local[weakest] < height[c] - octave_cost * np.log2(lag[c]):
            lags[i, weakest], strengths[i, weakest] = lag[c], height[c]


def smoothest(local: Floats, costs: Callable[[int, int], Floats]) -> Ints:
    """Find the path with the greatest sum of local values less the costs of its steps (Viterbi).

    Parameters
    ----------
    local : (frames, states) value of every state; minus infinity where there is none.
    costs : ``costs(begin, end)`` gives ``(end - begin, states, states)``: the cost of the step to
        state c of frame t, ``begin <= t < end``, from state b of the frame before, at
        ``[t - begin, c, b]``.

    Returns
    -------
    (frames,) the states; of equal ones the first.
    """
    frames, states = local.shape
    came = np.zeros((frames, states), dtype=np.int64)
    score = local.copy()
    for begin in range(1, frames, COLUMN):
        end = min(begin + COLUMN, frames)
        cost = costs(begin, end)
        before = score[begin - 1]
        choice = np.asarray(np.isfinite(local[begin - 1 : end, 1:]).any(axis=1))
        only = ~(choice[1:] | choice[:-1])  # nothing to choose: silence, mostly
        for here, step, first in zip(score[begin:end], cost, only, strict=True):
            if first:
                here[0] += before[0] - step[0, 0]
            else:
                here += np.maximum.reduce(before - step, axis=1)
            before = here
        came[begin:end] = (score[begin - 1 : end - 1, None] - cost).argmax(axis=2)
    path = np.zeros(frames, dtype=np.int64)
    at = int(score[-1].argmax())
    for t in range(frames - 1, -1, -1):
        path[t] = at
        at = int(came[t, at])
    return path


def best_path(
    lags: Floats,
    strengths: Floats,
    unvoiced: Floats,
    shortest: float,
    octave_cost: float,
    octave_jump: float,
    voiced_unvoiced: float,
) -> Ints:
    """Find the path with the greatest strength less the costs of its jumps: see `pitch.best_path`.

    Returns
    -------
    (frames,) the candidate chosen, -1 for unvoiced.
    """
    there = np.logical_and.accumulate(lags > 0.0, axis=1)
    most = int(there.sum(axis=1).max(initial=0))
    there = there[:, :most]
    octaves = np.zeros((len(lags), most + 1))  # state 0 is "unvoiced"
    octaves[:, 1:] = np.log2(np.where(there, lags[:, :most] / shortest, 1.0))
    local = np.empty_like(octaves)
    local[:, 0] = unvoiced
    local[:, 1:] = np.where(there, strengths[:, :most] - octave_cost * octaves[:, 1:], -np.inf)

    def costs(begin: int, end: int) -> Floats:
        jumps = octaves[begin:end, :, None] - octaves[begin - 1 : end - 1, None, :]
        cost = octave_jump * np.abs(jumps)
        cost[:, 0, :] = cost[:, :, 0] = voiced_unvoiced
        cost[:, 0, 0] = 0.0
        return np.asarray(cost)

    return smoothest(local, costs) - 1
