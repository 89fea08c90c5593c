"""A recording that kills, hangs or eats memory costs its own row, and an interrupt nothing.

The faults are descriptors that this module adds to a worker: they look at how loud the clip
is, so that the recording decides what happens, in whichever process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat import clips as clips_module
from serfeat.clips import recalled, remembered, software
from serfeat.engines import Interrupt, lost, run, worker_memory
from serfeat.errors import AudioError, MissingExtraError, StoreError, UnknownNameError
from serfeat.extract import extract
from serfeat.store import Store

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


# --- the mapper -----------------------------------------------------------------------------------


def fate(kind: str) -> str:
    """What a task does, in a worker."""
    from serfeat.engines import time_budget

    if kind == "exit":
        os._exit(7)
    if kind == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "hang":
        with time_budget(0.5):
            time.sleep(60)
    if kind == "memory":
        return str(np.ones(4 << 30, dtype=np.uint8).sum())
    return kind


@posix
def test_one_bad_task_costs_one_result() -> None:
    """Seen to fail without the limit of memory."""
    kinds = ["a", "exit", "b", "segv", "c", "hang", "d", "memory", "e"]
    began = time.monotonic()
    results = list(run(fate, kinds, jobs=2, memory=2 << 30))
    said = {
        k: lost(r)[0] if isinstance(r, Exception) else r
        for k, r in zip(kinds, results, strict=True)
    }
    assert said == {
        **{k: k for k in "abcde"},
        "exit": "crash",
        "segv": "crash",
        "hang": "timeout",
        "memory": "memory",
    }
    assert "exit code 7" in lost(results[1])[1]
    assert "SIGSEGV" in lost(results[3])[1]
    assert time.monotonic() - began < 120  # a slow machine takes 30; what hangs does so for ever


def test_one_job_can_have_a_process_to_itself() -> None:
    (alone,) = run(_pid, [0], jobs=1, isolated=True)
    (here,) = run(_pid, [0], jobs=1)
    assert here == os.getpid() != alone


def _pid(_: int) -> int:
    return os.getpid()


def test_tasks_are_handed_over_a_little_ahead() -> None:
    """A million tasks are not a million futures. Seen to fail with all submitted at once."""
    from serfeat.engines import _in_order

    open_: list[int] = []

    class Done:
        def __init__(self, task: int) -> None:
            open_.append(task)
            self.task = task

        def done(self) -> bool:
            return True

    most = 0
    for n, future in enumerate(_in_order(Done, range(100), 6, lambda: False)):
        assert future.task == n
        most = max(most, len(open_) - n)
    assert n == 99
    assert most <= 7


def test_unknown_engine_and_missing_dask() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dask'"):
        list(run(_pid, [0], engine="dusk"))
    try:
        import distributed  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"serfeat\[dask\]"):
            list(run(_pid, [0], engine="dask"))


def test_dask_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    one = extract(tiny, "cepstral", store=tmp_path / "one")
    two = extract(tiny, "cepstral", store=tmp_path / "two", jobs=2, engine="dask")
    assert one.values.tobytes() == two.values.tobytes()


def test_memory_is_shared_out() -> None:
    whole = worker_memory(1)
    assert whole == 0 or whole >= worker_memory(4) >= 2 << 30


# --- an extraction --------------------------------------------------------------------------------

FATES = {0.11: "exit", 0.12: "segv", 0.13: "hang", 0.14: "memory"}
GOOD = 0.5

# Runs in a process of its own, whose workers import it too: the patched descriptor is there in all.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from serfeat import clips, engines
from serfeat.features import FeatureSet
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import Descriptor

clips.BUDGET = (0.7, 0.1)
engines.worker_memory = lambda workers: 2 << 30

def dangerous(st):
    first = round(float(np.abs(st.x).max()), 2)  # st.x has no mean
    if first == 0.11:
        os._exit(7)
    if first == 0.12:
        os.kill(os.getpid(), signal.SIGSEGV)
    if first == 0.13:
        time.sleep(60)
    if first == 0.14:
        np.ones(4 << 30, dtype=np.uint8)
    if first == 0.16:
        time.sleep(0.25)
    return np.full(st.n_frames, first)

DESCRIPTORS["danger"] = Descriptor("danger", ("danger",), "1", "a fake", "nobody", dangerous)
SET = FeatureSet("danger", "", ("danger",), functionals=("mean",))

def main():
    from serfeat import extract as module
    module.worker_memory = lambda workers: 2 << 30
    source, store = map(Path, sys.argv[1:3])
    got = module.extract(source, SET, store=store, jobs=int(sys.argv[3]), isolated=True)
    for f in got.failures:
        print("FAILED", f.file, f.stage, f.reason, "|", f.message)
    print("ROWS", len(got.index), "COMPUTED", got.computed, "SUM", float(np.nansum(got.values)))

if __name__ == "__main__":
    main()
"""


def speech(folder: Path, firsts: list[float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, first in enumerate(firsts):
        x = first * (-1.0) ** np.arange(1600)
        x += 1e-4 * np.sin(np.arange(1600) * (1 + i))  # no two recordings are equal
        sf.write(folder / f"{i:02}.wav", x, 16_000, subtype="FLOAT")
    return folder


def script(tmp_path: Path) -> Path:
    path = tmp_path / "dangerous_set.py"
    path.write_text(SCRIPT)
    return path


@posix
def test_a_bad_recording_costs_its_own_row(tmp_path: Path) -> None:
    """Four bad ones in one batch of 32."""
    firsts = [GOOD] * 28
    for place, first in zip((3, 9, 10, 20), FATES, strict=True):
        firsts[place] = first
    source = speech(tmp_path / "speech", firsts)
    command = [sys.executable, script(tmp_path), source, tmp_path / "store", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("ROWS 24 COMPUTED 24 SUM 12"), done.stdout
    failed = {line.split()[1]: line.split()[2:4] for line in lines[:-1]}
    assert failed == {
        "03.wav": ["worker", "crash"],
        "09.wav": ["worker", "crash"],
        "10.wav": ["worker", "timeout"],
        "20.wav": ["worker", "memory"],
    }


@posix
@pytest.mark.slow  # the moment of the signal counts seconds, which a busy machine stretches
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_keeps_what_is_done(tmp_path: Path, jobs: int) -> None:
    """The open batch is kept, and the next run computes only the rest."""
    source = speech(tmp_path / "speech", [0.16] * 20)
    text = SCRIPT.replace("isolated=True", "isolated=False").replace("(0.7, 0.1)", "(30, 20)")
    (tmp_path / "dangerous_set.py").write_text(text)
    command = [sys.executable, tmp_path / "dangerous_set.py", source, tmp_path / "store", str(jobs)]
    # A session of its own: a terminal's Ctrl-C goes to the whole group of processes.
    child = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    store_folder = None
    for _ in range(300):
        time.sleep(0.1)
        found = list((tmp_path / "store").glob("*/store.json"))
        if found:
            store_folder = found[0].parent
            break
    assert store_folder is not None
    time.sleep(2.5 if jobs == 1 else 4.0)
    began = time.monotonic()
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert time.monotonic() - began < 8
    assert child.returncode != 0
    assert "KeyboardInterrupt" in err
    kept = Store(store_folder, ("danger__mean",)).keys()
    assert 0 < len(kept) <= 20
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert f"ROWS 20 COMPUTED {20 - len(kept)} SUM" in again.stdout


def test_the_second_interrupt_is_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    with Interrupt() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


# --- failures that are kept -----------------------------------------------------------------------


def corpus(folder: Path) -> Path:
    folder.mkdir()
    t = np.arange(16_000) / 16_000
    sf.write(folder / "good.wav", 0.5 * np.sin(2 * np.pi * 200 * t), 16_000)
    sf.write(folder / "short.wav", np.zeros(100), 16_000)
    return folder


def test_failures_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail with the first place in the message."""
    source = corpus(tmp_path / "speech")
    first = extract(source, "prosody", store=tmp_path / "s")
    tried: list[str] = []
    whole = clips_module.load_audio
    monkeypatch.setattr(
        clips_module, "load_audio", lambda path, **k: tried.append(path.name) or whole(path, **k)
    )
    second = extract(source, "prosody", store=tmp_path / "s")
    assert tried == []
    assert second.failures == first.failures
    assert [f.reason for f in second.failures] == ["too-short"]
    (source / "short.wav").rename(source / "brief.wav")
    (third,) = extract(source, "prosody", store=tmp_path / "s").failures
    assert third.file == "brief.wav"
    assert "brief.wav: 6.25 ms" in third.message
    monkeypatch.setattr(clips_module, "software", lambda: "a newer one")
    monkeypatch.setattr("serfeat.extract.software", lambda: "a newer one")
    extract(source, "prosody", store=tmp_path / "s")
    assert tried == ["brief.wav"]


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """A crash, a file that was written to: they say nothing about the recording."""
    clip = clips_module.Clip("a.wav", tmp_path / "a.wav", 0.0, float("nan"), "k")
    for stage, reason in (
        ("worker", "crash"), ("read", "changed"), ("read", "permission"), ("read", "memory"),
    ):  # fmt: skip
        assert remembered(clip, clip.failure(stage, reason, "words")) is None
    kept = remembered(clip, clip.failure("read", "too-short", f"{tmp_path}/a.wav: short"))
    assert kept is not None
    assert kept.by == software()
    assert str(tmp_path) not in kept.message
    assert recalled(clip, kept).message == f"{tmp_path}/a.wav: short"


class _FailingDisk:
    """What libsndfile makes of a disk that does not answer: an end before the end, or an error.

    Parameters
    ----------
    fails : how many times, from the first reading on.
    """

    def __init__(self, monkeypatch, fails: int, *, quietly: bool) -> None:
        self.left, self.quietly, self.whole = fails, quietly, sf.SoundFile.read
        disk = self
        monkeypatch.setattr(sf.SoundFile, "read", lambda s, *a, **k: disk.read(s, *a, **k))

    def read(self, sound: sf.SoundFile, frames: int = -1, **options: object) -> np.ndarray:
        if not self.left:
            return self.whole(sound, frames, **options)
        self.left -= 1
        if self.quietly:
            part = self.whole(sound, frames - frames // 200, **options)
            sound.seek(0, sf.SEEK_END)
            return part
        raise sf.LibsndfileError(2)


@pytest.mark.parametrize("quietly", [False, True], ids=["an error", "an early end"])
def test_a_disk_that_fails_once(quietly: bool, tmp_path: Path, monkeypatch) -> None:
    """Seen to fail: "corrupt" was remembered for ever, 0.5 % less was taken with a flag."""
    source = tmp_path / "speech"
    source.mkdir()
    sf.write(source / "a.flac", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    with monkeypatch.context() as patch:
        _FailingDisk(patch, 1, quietly=quietly)
        found = extract(source, "zcr", store=tmp_path / "s")
    assert (found.failures, found.flags, found.seconds_of_audio) == ((), ("",), 1.0)


def test_a_disk_that_fails(tmp_path: Path, monkeypatch) -> None:
    """The bytes cannot be read, or are others: nothing is remembered. Seen to fail: corrupt was."""
    source = tmp_path / "speech"
    source.mkdir()
    sf.write(source / "a.flac", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)

    def no_answer(path: Path) -> str:
        raise AudioError("cannot be read", where=path, code="io", fix="check the disk")

    for answer, reason in ((no_answer, "io"), (lambda _: "f00", "changed")):
        with monkeypatch.context() as patch:
            _FailingDisk(patch, 99, quietly=False)
            patch.setattr(clips_module, "content_hash", _second(answer))
            (failure,) = extract(source, "zcr", store=tmp_path / "s").failures
        assert failure.reason == reason
    assert extract(source, "zcr", store=tmp_path / "s").failures == ()


def _second(answer):
    """content_hash that answers as it should when the key is made, and otherwise later."""
    true, asked = clips_module.content_hash, []

    def content_hash(path: Path) -> str:
        asked.append(path)
        return true(path) if len(asked) == 1 else answer(path)

    return content_hash


def test_what_is_damaged_is_remembered(tmp_path: Path, monkeypatch) -> None:
    """It was read twice, the same was found: not a third time."""
    source = tmp_path / "speech"
    source.mkdir()
    sf.write(source / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    (source / "a.wav").write_bytes((source / "a.wav").read_bytes()[:20_000])
    (first,) = extract(source, "zcr", store=tmp_path / "s").failures
    assert first.reason == "truncated"
    monkeypatch.setattr(clips_module, "load_audio", None)
    assert extract(source, "zcr", store=tmp_path / "s").failures == (first,)


def test_a_recording_that_changes_meanwhile(tmp_path: Path, monkeypatch) -> None:
    """Seen to fail without the stamp: the new sound was kept under the old content's key."""
    source = corpus(tmp_path / "speech")
    whole = clips_module.load_audio

    def late(path: Path, **options: object) -> object:
        if path.name == "good.wav":
            x, sr = sf.read(path)
            sf.write(path, 0.5 * x, sr)
            os.utime(path, ns=(1, 1))
        return whole(path, **options)

    monkeypatch.setattr(clips_module, "load_audio", late)
    result = extract(source, "prosody", store=tmp_path / "s")
    assert [f.reason for f in result.failures] == ["changed", "too-short"]
    monkeypatch.setattr(clips_module, "load_audio", whole)
    again = extract(source, "prosody", store=tmp_path / "s")
    assert len(again.index) == 1


def test_a_full_disk_says_how_far_it_came(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    def full(self: Store, rows: object) -> None:
        raise StoreError("cannot write here (No space left)", code="disk-full", fix="free some")

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(StoreError, match="0 of 24 clips are done"):
        extract(tiny, "prosody", store=tmp_path)


def test_a_damaged_segment_is_computed_again(tiny: Path, tmp_path: Path) -> None:
    """Damage among the values, which the keys do not show."""
    first = extract(tiny, "prosody", store=tmp_path)
    (segment,) = tmp_path.glob("*/seg-*.parquet")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 1
    segment.write_bytes(raw)
    second = extract(tiny, "prosody", store=tmp_path)
    assert second.computed == 24
    assert second.values.tobytes() == first.values.tobytes()
    assert len(list(tmp_path.glob("*/*.damaged"))) == 1
