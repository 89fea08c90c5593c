"""Near-duplicate audio: the same recording under another name, found by what it sounds like.

A clip that lies in training and, louder, shorter or as an MP3, in the test set as well, is a leak
that no file name shows. Two clips are *twins* if one was made from the other (or both from a third)
by a gain, a cut at either end, a delay, another sample rate, a codec, a filter or some noise. The
same sentence said again by the same speaker is another recording, and no twin.

Conventions
-----------
A clip becomes 32 bits every 16 ms, after Haitsma and Kalker: its power in 33 bands of equal width
in log frequency, 300 to 3000 Hz, over 256 ms; bit m of frame n is 1 where the difference between
bands m and m + 1 has grown since frame n - 1. A gain, or a filter that is smooth over two bands,
changes no bit; the long window makes a delay by half a hop change few. Where two clips share a
whole frame (of one of them up to three bits may be turned: those whose differences are smallest)
they are laid upon each other, and the share of bits that differ is counted over the frames in
which both are loud. Chance is 1/2.

Contents
--------
`Fingerprint` `fingerprint`  : a clip's bits and the digest of its samples.
`Twin` `find_twins`          : the pairs among many fingerprints.
`twins_of`                   : the pairs among a manifest's clips.
`twins_across`               : those that a fold has on both sides.

Sources
-------
Haitsma and Kalker, "A highly robust audio fingerprinting system", ISMIR 2002. Ours: the bands up to
3 kHz and the shorter window (clips of speech last seconds), the silence that does not count, and
the limits, which come from three corpora: `MAX_ERROR`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serfeat.audio import USUAL, Limits, load_audio, resample
from serfeat.engines import run
from serfeat.errors import AudioError
from serfeat.manifest import Manifest
from serfeat.protocols.division import Fold
from serfeat.types import Bools, Floats, Ints, Reals

__all__ = ["Fingerprint", "Twin", "find_twins", "fingerprint", "twins_across", "twins_of"]

SR = 8_000  # Hz
WINDOW = 2_048  # samples, 256 ms
HOP = 128  # samples, 16 ms
EDGES = np.geomspace(300.0, 3_000.0, 34)  # Hz, of the 33 bands
LOUD = 30.0  # dB below the clip's loudest frame: what is quieter may be noise, and does not count
WEAKEST = 3  # bits of a frame that are also tried turned, 2^3 keys a frame

# Share of differing bits, and loud frames that both have: what counts as a twin. The nearest pairs
# that are no twins differ in .27 over 109 frames (RAVDESS: one speaker's two takes of a sentence),
# .25 over 38 and .22 over 25 (EmoSpeech), .34 over 38 (EMO-DB); a short overlap must agree better.
MAX_ERROR, MIN_FRAMES = 0.20, 32
SHORT_MAX_ERROR, SHORT_MIN_FRAMES = 0.15, 20
MIN_CODES = 8  # different frames in an overlap: two steady tones agree and prove nothing

PARTNERS = 64  # frames that one key may lead to: a hundred copies are still found through the first
BATCH = 32  # clips a worker reads at a time


@dataclass(frozen=True)
class Fingerprint:
    """What a clip sounds like, in bits.

    Parameters
    ----------
    codes : (n,) uint32, one a frame; none for a clip of less than 272 ms.
    loud : (n,) whether the frame counts.
    weak : (n, 3) uint32, each with one bit set: those that are nearest to the other value.
    digest : SHA-256 of the samples in hex; empty for silence, which is nobody's twin.
    """

    codes: np.ndarray[tuple[int], np.dtype[np.uint32]]
    loud: Bools
    weak: np.ndarray[tuple[int, int], np.dtype[np.uint32]]
    digest: str = ""


@dataclass(frozen=True, order=True)
class Twin:
    """Two clips of one recording.

    Parameters
    ----------
    first, second : their numbers, first < second.
    offset : s; what is heard at t in the first is heard at t + offset in the second.
    similarity : share of equal bits, 1 is the same; unrelated clips have about 0.5.
    exact : whether every sample is the same.
    """

    first: int
    second: int
    offset: float
    similarity: float
    exact: bool


def fingerprint(x: Reals, sr: int) -> Fingerprint:
    """Return the fingerprint of a clip.

    Parameters
    ----------
    x : (n,) samples.
    sr : Hz.
    """
    silent = not np.any(x)
    samples = np.ascontiguousarray(x, dtype=np.float32)
    digest = "" if silent else hashlib.sha256(f"{sr} ".encode() + samples.tobytes()).hexdigest()
    y = resample(samples, sr, SR)
    if silent or len(y) < WINDOW + HOP:
        none = np.zeros(0, dtype=np.uint32)
        return Fingerprint(none, np.zeros(0, dtype=bool), none.reshape(0, WEAKEST), digest)
    power = _band_powers(y)
    level = 10 * np.log10(power.sum(axis=1) + np.finfo(np.float32).tiny)
    loud = level > level.max() - LOUD
    change = np.diff(np.diff(power, axis=1), axis=0)  # (n, 32)
    codes = np.packbits(change > 0, axis=1).view(">u4").ravel().astype(np.uint32)
    nearest = np.argpartition(np.abs(change), WEAKEST, axis=1)[:, :WEAKEST]
    weak = np.uint32(1) << (31 - nearest).astype(np.uint32)
    return Fingerprint(codes, loud[1:] & loud[:-1], weak, digest)


def _band_powers(y: Reals) -> Floats:
    """(n, 33) power of every frame in every band."""
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(y, WINDOW)[::HOP]
    edges = np.searchsorted(np.fft.rfftfreq(WINDOW, 1 / SR), EDGES)
    window = np.hanning(WINDOW).astype(np.float32)
    out = np.empty((len(frames), len(edges) - 1))
    for first in range(0, len(frames), 4096):  # an hour's frames at once would be gigabytes
        spectrum = rfft(frames[first : first + 4096] * window, axis=1)[:, : edges[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        out[first : first + 4096] = np.add.reduceat(power, edges[:-1], axis=1)
    return out


# --- pairs -----------------------------------------------------------------------------------


def find_twins(prints: Sequence[Fingerprint]) -> list[Twin]:
    """Find the pairs of clips that are one recording.

    Parameters
    ----------
    prints : one a clip.

    Returns
    -------
    Sorted by number, a pair once, at its best offset. Of clips with the very same samples each is
    paired with the first, and only the first with other clips: `twins_across` follows.
    """
    exact = list(_same_samples(prints))
    copies = {pair.second for pair in exact}
    different = [i for i in range(len(prints)) if i not in copies]
    best: dict[tuple[int, int], Twin] = {}
    for i, j, shift in _meetings([prints[k] for k in different]):
        a, b = different[i], different[j]
        found = _compare(prints[a], prints[b], shift)
        if found is None:
            continue
        twin = Twin(a, b, shift * HOP / SR, 1 - found, exact=False)
        if (a, b) not in best or best[a, b].similarity < twin.similarity:
            best[a, b] = twin
    return sorted([*exact, *best.values()])


def _same_samples(prints: Sequence[Fingerprint]) -> Iterator[Twin]:
    """Yield each clip that has the samples of an earlier one, with the first that has them."""
    first_of: dict[str, int] = {}
    for i, p in enumerate(prints):
        if p.digest and (first := first_of.setdefault(p.digest, i)) != i:
            yield Twin(first, i, 0.0, 1.0, exact=True)


def _meetings(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, int]]:
    """Yield (a, b, shift): a frame i of clip a is, but for weak bits, frame i + shift of b."""
    loud = [np.flatnonzero(p.loud) for p in prints]
    clip = np.repeat(np.arange(len(prints)), [len(k) for k in loud])
    if not len(clip):
        return
    place = np.concatenate(loud)
    codes = np.concatenate([p.codes[k] for p, k in zip(prints, loud, strict=True)])
    weak = np.concatenate([p.weak[k] for p, k in zip(prints, loud, strict=True)])
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    found = []
    for turned in itertools.product((False, True), repeat=WEAKEST):
        key = codes ^ (weak * np.array(turned, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
        low, high = np.searchsorted(ranked, key), np.searchsorted(ranked, key, side="right")
        for i, j in _partners(low, np.minimum(high, low + PARTNERS), order):
            other = clip[i] != clip[j]
            i, j = i[other], j[other]
            swap = clip[i] > clip[j]
            i, j = np.where(swap, j, i), np.where(swap, i, j)
            found.append(np.stack([clip[i], clip[j], place[j] - place[i]], axis=1))
    met = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 3), dtype=np.int64)
    yield from map(tuple, met.tolist())


def _partners(low: Ints, high: Ints, order: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield (i, j): frame i and the k-th frame that its key leads to, for k = 0, 1, ..."""
    i = np.flatnonzero(high > low)
    for k in itertools.count():
        i = i[low[i] + k < high[i]]
        if not len(i):
            return
        yield i, order[low[i] + k]


def _compare(a: Fingerprint, b: Fingerprint, shift: int) -> float | None:
    """Share of differing bits of two clips laid upon each other; None if they are no twins."""
    first, last = max(0, -shift), min(len(a.codes), len(b.codes) - shift)
    both = a.loud[first:last] & b.loud[first + shift : last + shift]
    n = int(np.count_nonzero(both))
    if n < SHORT_MIN_FRAMES:
        return None
    x, y = a.codes[first:last][both], b.codes[first + shift : last + shift][both]
    error = float(np.bitwise_count(x ^ y).sum()) / (32 * n)
    limit = MAX_ERROR if n >= MIN_FRAMES else SHORT_MAX_ERROR
    if error > limit or len(np.unique(x)) < MIN_CODES:
        return None
    return error


# --- manifests and folds ---------------------------------------------------------------------


def twins_of(
    manifest: Manifest,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
    limits: Limits = USUAL,
) -> list[Twin]:
    """Find the twins among a manifest's clips.

    Parameters
    ----------
    manifest : its rows are numbered from 0 in their order; a clip that cannot be read has no twin
        (the extraction reports it).
    jobs : processes; 0 uses all cores.
    progress : is called with (clips done, clips).
    limits : of what is taken of truncated and of long recordings.
    """
    clips = [
        (manifest.path(file), start.total_seconds(), end.total_seconds())
        for file, start, end in manifest.rows.index
    ]
    batches = [(clips[i : i + BATCH], limits) for i in range(0, len(clips), BATCH)]
    prints: list[Fingerprint] = []
    for batch, result in zip(batches, run(_read, batches, jobs=jobs), strict=True):
        if isinstance(result, Exception):
            raise AudioError(
                f"a worker that reads audio died ({type(result).__name__})",
                where=batch[0][0][0],
                code="worker",
            )
        prints += result
        progress(len(prints), len(clips))
    return find_twins(prints)


def _read(task: tuple[Sequence[tuple[Path, float, float]], Limits]) -> list[Fingerprint]:
    """Fingerprints of clips; runs in a worker."""
    clips, limits = task
    prints = []
    for path, start, end in clips:
        try:
            audio = load_audio(
                path, sr=None, start=start, end=end,
                max_duration=limits.max_duration, allow_truncated=limits.allow_truncated,
            )  # fmt: skip
            prints.append(fingerprint(audio.x, audio.sr))
        except AudioError:
            prints.append(fingerprint(np.zeros(0), SR))
    return prints


def twins_across(fold: Fold, pairs: Iterable[Twin]) -> list[tuple[int, int]]:
    """Find the test clips that training has heard under another name.

    Parameters
    ----------
    fold : row numbers.
    pairs : from `twins_of`, numbered as the fold's rows. A twin's twin counts as well.

    Returns
    -------
    (row in training or validation, row in test), one for each test row that has a twin there.
    """
    group: dict[int, int] = {}  # row -> any row of its group; followed to the end
    for pair in pairs:
        group[_end(group, pair.second)] = _end(group, pair.first)
    members = defaultdict(list)
    for row in sorted(map(int, [*fold.train, *fold.validation])):
        members[_end(group, row)].append(row)
    tested = sorted(map(int, fold.test))
    return [(there[0], row) for row in tested if (there := members.get(_end(group, row)))]


def _end(group: dict[int, int], row: int) -> int:
    while group.get(row, row) != row:
        row = group[row]
    return row
