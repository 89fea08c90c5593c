"""What the recordings of a corpus are like: duration, rate, channels, faults, and a digest.

The digest is of the decoded samples, so that a WAV and its FLAC copy, or a mono file and its stereo
copy with equal channels, are the same recording.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from serfeat.errors import SerfeatError
from serfeat.manifest import Manifest

__all__ = ["Decode", "look"]

BLOCK = 1 << 18  # samples decoded at a time

Decode = Literal["none", "info", "full"]


def look(
    manifest: Manifest, decode: Decode, progress: Callable[[int, int], None] | None
) -> pd.DataFrame:
    """Look at every recording of a manifest.

    Parameters
    ----------
    decode : "full" reads every sample, "info" the header only, "none" the file's size only.
    progress : called with (files done, files).

    Returns
    -------
    One row per recording: duration (s), sample_rate (Hz), channels, fault (empty where nothing is
    wrong with the file itself), digest (of the samples; empty where they were not read).
    """
    names = manifest.files
    records = []
    for i, file in enumerate(names):
        try:
            records.append(_look_at(manifest.path(file), decode))
        except SerfeatError as error:
            records.append({"fault": str(error)})
        if progress is not None:
            progress(i + 1, len(names))
    columns = ["duration", "sample_rate", "channels", "fault", "digest"]
    blank = {"duration": np.nan, "sample_rate": np.nan, "channels": np.nan, "digest": ""}
    index = pd.Index(names, name="file")
    return pd.DataFrame([blank | r for r in records], index=index, columns=columns)


def _look_at(path: Path, decode: Decode) -> dict[str, object]:
    import soundfile

    try:
        facts = path.stat()
    except OSError:
        return {"fault": "missing"}
    if not stat.S_ISREG(facts.st_mode):  # a FIFO would be waited for, for ever
        return {"fault": "not a regular file"}
    if facts.st_size == 0:
        return {"fault": "empty file"}
    if decode == "none":
        return {"fault": ""}
    with path.open("rb") as raw:
        head = raw.read(12)
    if head.startswith(b"version http"):
        return {"fault": "a git-lfs pointer, not audio"}
    # A WAV says how long it is; libsndfile quietly reads what is left of a shorter one. Streams
    # that do not know their length write the largest number that they can.
    says = int.from_bytes(head[4:8], "little") + 8
    cut = head[:4] == b"RIFF" and head[8:12] == b"WAVE" and 0x7FFFFFFF > says > facts.st_size + 1
    try:
        with soundfile.SoundFile(path) as sound:
            record = {
                "duration": sound.frames / sound.samplerate,
                "sample_rate": sound.samplerate,
                "channels": sound.channels,
                "fault": f"truncated: {facts.st_size} of {says} bytes" if cut else "",
            }
            if sound.frames == 0:
                record["fault"] = "no samples"
            elif decode == "full" and not cut:
                record |= _decode(sound)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        return {"fault": f"cannot be decoded: {error}"}
    return record


def _decode(sound: Any) -> dict[str, object]:
    """Read every sample, block by block: a digest of the content, and what is wrong with it."""
    # Integer formats are compared as integers (exact in every container), others as floats.
    dtype = "int32" if sound.subtype.startswith("PCM") else "float64"
    first = hashlib.blake2b(str(sound.samplerate).encode(), digest_size=16)
    others = hashlib.blake2b(digest_size=16)
    read, loud, finite, equal = 0, False, True, True
    for block in sound.blocks(BLOCK, dtype=dtype, always_2d=True):
        read += len(block)
        loud = loud or bool(np.any(block))
        finite = finite and bool(np.isfinite(block).all())
        equal = equal and bool((block == block[:, :1]).all())
        first.update(np.ascontiguousarray(block[:, 0]).tobytes())
        others.update(np.ascontiguousarray(block[:, 1:]).tobytes())
    fault = ""
    if read != sound.frames:
        fault = f"truncated: {read} of {sound.frames} samples"
    elif not finite:
        fault = "NaN or infinite samples"
    elif not loud:
        fault = "silent: all samples are zero"
    # equal channels carry nothing more than one of them
    digest = first.hexdigest() + ("" if equal else others.hexdigest())
    return {"fault": fault, "digest": digest}
