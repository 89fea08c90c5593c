"""What has to hold for a corpus larger than memory, and for one of many clips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serfeat import sequences as sequences_module
from serfeat.engines.schedulers import SCHEDULERS, job_script
from serfeat.errors import EngineError, FeatureError, UnknownNameError
from serfeat.explain import narrowed, permuted
from serfeat.extract import BATCH, LARGEST_BATCH, batch_size, extract
from serfeat.feature_sets import feature_set
from serfeat.manifest_csv import read_manifest
from serfeat.models import preparation
from serfeat.models.gmm import GMMClassifier
from serfeat.models.preparation import FramePreparation
from serfeat.normalisation import by_speaker, per_speaker
from serfeat.sequences import Sequences, write_mapped
from serfeat.store import Row, Store, read_table
from serfeat.store import segment as segment_module
from serfeat.store.segment import kept_in, sizes_of

LENGTHS = [30, 12, 41, 25, 60, 33, 18, 22]
SPEAKERS = ["a", "b", "a", "c", "b", "a", "c", "b"]


def frames(seed: int = 0, k: int = 5) -> Sequences:
    rng = np.random.default_rng(seed)
    clips = [rng.standard_normal((n, k)).astype(np.float32) for n in LENGTHS]
    clips[1][:4, 2] = np.nan
    return Sequences.of(clips)


def on_disk(clips: Sequences, folder: Path, name: str = "x") -> Sequences:
    return write_mapped(
        folder / name, (len(clips.values), clips.shape[1]), clips.offsets, [(0, clips.values)]
    )


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is on the disk stays there, and little of it is read at a time."""
    monkeypatch.setattr(sequences_module, "IN_MEMORY", 10)
    monkeypatch.setattr(sequences_module, "BLOCK", 100)
    monkeypatch.setattr(Sequences.blocks, "__defaults__", (100,))
    monkeypatch.setattr(preparation, "PIECE", 300)


# --- frames on the disk ---------------------------------------------------------------------------


def test_joined_clips_are_those_of_the_parts(tmp_path: Path) -> None:
    one, two = frames(0), frames(1)
    discs = [on_disk(one, tmp_path, "a")[[3, 0]], on_disk(two, tmp_path, "b")[2:6]]
    expected = [one[3], one[0], *(two[i] for i in range(2, 6))]
    made = Sequences.joined(discs)
    assert (made.mapped, made.file) == (True, None)
    twice = Sequences.joined([made[[1, 4]], discs[0]])
    for clips, wanted in (
        (made, expected),
        (twice, [expected[1], expected[4], *expected[:2]]),
        (Sequences.joined([one[[3, 0]], two[2:6]]), expected),
    ):
        assert clips.lengths.tolist() == [len(w) for w in wanted]
        for clip, want in zip(clips, wanted, strict=True):
            np.testing.assert_array_equal(clip, want)
        np.testing.assert_array_equal(clips.values, np.concatenate(wanted))
    assert np.shares_memory(made[0], discs[0]._base)
    with pytest.raises(FeatureError):
        Sequences.joined([one, frames(0, k=3)])


def test_speakers_one_at_a_time_are_normalised_alike(tmp_path: Path) -> None:
    clips = frames()
    parts = by_speaker(on_disk(clips, tmp_path), SPEAKERS)
    shape = (len(clips.values), clips.shape[1])
    made = write_mapped(tmp_path / "z", shape, clips.offsets, parts)
    assert made.values.tobytes() == per_speaker(clips, SPEAKERS).values.tobytes()


@pytest.mark.parametrize("way", preparation.PREPARATIONS)
def test_preparation_does_not_depend_on_the_pieces(way: str, tmp_path: Path, monkeypatch) -> None:
    """Bit for bit, in memory and on the disk."""
    clips = frames(k=7)
    whole = FramePreparation(way).fit(clips)
    expected = whole.transform(clips).values
    monkeypatch.setattr(preparation, "PIECE", 2 * len(clips.values))
    monkeypatch.setattr(sequences_module, "IN_MEMORY", 10)
    for other in (clips, on_disk(clips, tmp_path)):
        ready = FramePreparation(way).fit(other)
        assert ready.mean_.tobytes() == whole.mean_.tobytes()
        assert ready.transform(other).values.tobytes() == expected.tobytes()


def test_mixtures_and_permutations_read_blocks(tmp_path: Path, small_memory: None) -> None:
    """The same decisions as in memory, and never all frames."""
    inside = frames()[[0, 2, 3, 4, 5, 6]]
    outside = on_disk(inside, tmp_path)
    y = np.array(["u", "v"] * 3)
    here, there = (GMMClassifier(2, max_frames=40).fit(X, y) for X in (inside, outside))
    np.testing.assert_allclose(here.log_likelihood(inside), there.log_likelihood(outside))
    families = {"first": [0, 1], "last": [4]}
    for a, b in zip(
        permuted(here, inside, families, repeats=2).values(),
        permuted(there, outside, families, repeats=2).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_comparison_of_mapped_frames(tiny: Path, tmp_path: Path, small_memory: None) -> None:
    """Augmented, by speaker, a part of a set: the predictions are those of frames in memory.

    The parent never asks for all frames: `values` of the large maps would be an error.
    """
    from serfeat.compare import compare
    from serfeat.plan import ChosenProtocol, Entry, Plan

    settings = {"max_frames": 200, "n_components": 2}
    plan = Plan(
        "frames",
        [
            Entry("plain", "gmm", "timnet39", settings),
            Entry("voices", "gmm", "timnet39", settings, normalisation="speaker"),
            Entry(
                "copies", "gmm", "timnet39", settings, augment={"copies": 1, "speed": [0.9, 1.1]}
            ),
        ],
        [ChosenProtocol("speaker_kfold", {"n": 2})],
    )
    said = []
    for name, most in (("disk", 10), ("memory", 1 << 27)):
        sequences_module.IN_MEMORY = most
        folder = compare(
            read_manifest(tiny), plan, tmp_path / name, store=tmp_path / "s", listen=False
        )
        said.append(read_table(folder / "predictions.parquet"))
        plain = list((folder / "parts").glob("*.npy"))
        assert len(plain) == 3  # as it is, by speaker, the copy: none is written twice
    chances = [c for c in said[0] if c.startswith("p_")]
    np.testing.assert_allclose(said[0][chances], said[1][chances], atol=1e-9)
    assert said[0]["prediction"].equals(said[1]["prediction"])


def test_a_part_of_a_set_stays_on_the_disk(tiny: Path, tmp_path: Path) -> None:
    whole = extract(tiny, "prosody", level="lld", store=tmp_path / "s", mapped=tmp_path / "m")
    first = feature_set("prosody").descriptors[0]
    part = narrowed(whole, f"prosody:{first}")
    alone = extract(tiny, f"prosody:{first}", level="lld", store=tmp_path / "s")
    assert isinstance(part.values, Sequences)
    assert part.values.mapped
    assert narrowed(whole, "prosody").values.file is not None
    assert part.values.values.tobytes() == alone.values.values.tobytes()


SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from serfeat import sequences
from serfeat.models import fit, make_model
from serfeat.sequences import read_mapped

sequences.IN_MEMORY = 1 << 20
clips = read_mapped(Path(sys.argv[1]))
y = np.array(["a", "b"])[np.arange(len(clips)) % 2]
model = make_model(sys.argv[2], seed=0, **eval_params)
limit = int(sys.argv[3]) + sum(
    int(line.split()[1]) * 1024
    for line in open("/proc/self/status") if line.startswith("VmData")
)
resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
try:
    fit(model, clips, y, (np.arange(len(clips)) % 8).astype(str))
    print("trained", (model.predict(clips) == y).mean() > 0.9)
except MemoryError:
    print("too much")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits of Linux")
def test_training_takes_less_memory_than_the_frames(tmp_path: Path) -> None:
    """200 MB of frames, mixtures under 180 MiB of writable memory beyond the imports."""
    n, length, k = 500, 1000, 100
    offsets = np.arange(n + 1, dtype=np.int64) * length
    rng = np.random.default_rng(0)
    base = rng.standard_normal((length, k), dtype=np.float32)

    def parts():
        for i in range(n):
            clip = np.roll(base, i, axis=0)
            clip[:, 0] += i % 2
            yield i * length, clip

    made = write_mapped(tmp_path / "x", (n * length, k), offsets, parts())
    text = SCRIPT.replace("**eval_params", "n_components=2, max_frames=2000")
    text = text.replace("1 << 20", "1 << 20\nfrom serfeat.models import preparation\n"
                        "preparation.PIECE = 1 << 21")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", text, str(made.file), "gmm", str(180 << 20)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.strip() == "trained True", done.stderr[-2000:]


# --- many clips -----------------------------------------------------------------------------------


def test_batches_grow_with_the_run() -> None:
    sizes = [batch_size(n, "functionals") for n in (1, 10_000, 30_000, 10_000_000)]
    assert sizes == [BATCH, 100, LARGEST_BATCH, LARGEST_BATCH]
    assert batch_size(10_000_000, "lld") == BATCH


def test_many_files_are_looked_at_by_workers(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    """The same keys, and so the same store; one that is not there is still a failure."""
    from serfeat import extract as module

    one = extract(tiny, "prosody", store=tmp_path / "s")
    monkeypatch.setattr(module, "MANY", 1)
    monkeypatch.setattr(module, "HASHED_AT_ONCE", 5)
    again = extract(tiny, "prosody", store=tmp_path / "s", jobs=2)
    assert again.computed == 0
    assert again.values.tobytes() == one.values.tobytes()
    whole = read_manifest(tiny)
    lost = whole.rows.rename(index={whole.files[0]: "not/there.wav"}, level="file")
    made = extract(whole.with_rows(lost), "prosody", store=tmp_path / "s", jobs=2)
    assert [(f.file, f.reason) for f in made.failures] == [("not/there.wav", "missing")]


def test_a_checksum_vouches_for_the_values(tmp_path: Path, monkeypatch) -> None:
    """Every flipped bit is seen, and no value of a good segment is decoded."""
    store = Store(tmp_path, ("a", "b"))
    rows = [Row(f"k{i}", np.full((i + 1, 2), i, dtype=np.float32), (), 1.0) for i in range(4)]
    store.add(rows)
    (segment,) = tmp_path.glob("seg-*.parquet")
    assert kept_in(segment, 2) == sizes_of(segment) == {f"k{i}": i + 1 for i in range(4)}
    assert kept_in(segment, 3) is None
    good = segment.read_bytes()
    for i in range(0, len(good), 5):
        raw = bytearray(good)
        raw[i] ^= 1 << (i % 8)
        segment.write_bytes(raw)
        assert kept_in(segment, 2) is None, i
    segment.write_bytes(good)
    assert kept_in(segment.rename(tmp_path / "seg-0123456789abcdef.parquet"), 2) is None

    def never(*_: object) -> None:
        raise AssertionError

    (tmp_path / "seg-0123456789abcdef.parquet").rename(segment)
    monkeypatch.setattr(segment_module, "_groups", never)
    from serfeat.store import verify

    assert verify(tmp_path).ok


# --- job scripts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_job_script_runs(scheduler: str, tiny: Path, tmp_path: Path) -> None:
    """Bash takes it; its jobs, run by hand under their numbers, make the table of one run."""
    place = tmp_path / "it's a folder"
    place.mkdir()
    text = job_script(
        scheduler, tiny, place / "all.csv", parts=2, features="prosody", store=place / "store"
    )
    file = tmp_path / "job.sh"
    file.write_text(text)
    checked = subprocess.run(["bash", "-n", str(file)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    number = SCHEDULERS[scheduler].number
    lost = subprocess.run(["bash", str(file)], capture_output=True, text=True)
    assert lost.returncode != 0
    assert f"{number}: is set by the scheduler" in lost.stderr
    if scheduler != "slurm":
        return
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "serfeat").write_text(f'#!/bin/bash\nexec {sys.executable} -m serfeat.cli "$@"\n')
    (bin_ / "serfeat").chmod(0o755)
    around = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}
    for part in ("2", "1"):
        subprocess.run(["bash", str(file)], check=True, env={**around, number: part}, timeout=120)
    whole = extract(tiny, "prosody", store=place / "store")
    assert whole.computed == 0
    tables = [(place / f"all-{i}.csv").read_text().splitlines()[1:] for i in (1, 2)]
    assert sum(map(len, tables)) == len(whole.index)
    assert json.dumps(sorted(tables[0] + tables[1])).count("wav") == len(whole.index)


def test_what_no_job_script_can_say() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'slurm'"):
        job_script("slrum", Path("a"), Path("b.csv"), parts=2)
    for wrong in ({"parts": 0}, {"parts": 2, "hours": 0}):
        with pytest.raises(EngineError, match="expected 1 or more"):
            job_script("slurm", Path("a"), Path("b.csv"), **wrong)
    with pytest.raises(EngineError, match="no job script"):
        job_script("slurm", Path("a\nrm -rf b"), Path("b.csv"), parts=2)
    assert "'$(rm b)'" in job_script("slurm", Path("$(rm b)"), Path("b.csv"), parts=2)
