"""`serfeat stream`, and where its samples come from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import soxr
from typer.testing import CliRunner

from serfeat.cli import app, main
from serfeat.deploy import train
from serfeat.errors import AudioError, MissingExtraError
from serfeat.manifest_csv import read_manifest
from serfeat.plan import Entry
from serfeat.streaming import Feed, microphone, paced
from serfeat.streaming.latency import Latencies

SR = 16_000


@pytest.fixture(scope="module")
def model(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ridge"
    return train(read_manifest(tiny), Entry("ridge", "ridge", "mfcc"), folder, held_out=0)


@pytest.fixture(scope="module")
def spoken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    x = np.concatenate([sf.read(f)[0] for f in sorted((tiny.parent / "s1").glob("*"))[:6]])
    file = tmp_path_factory.mktemp("speech") / "speech.wav"
    sf.write(file, x, SR)
    return file


def test_a_recording_is_answered_in_lines_of_json(model, spoken):
    done = CliRunner().invoke(app, ["stream", str(model), str(spoken), "--json"])
    assert done.exit_code == 0, done.output
    *rows, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["time"] for row in rows[:3]] == [0.5, 1.0, 1.5]
    assert rows[0]["label"] == "unknown"
    assert set(rows[1]["values"]) == {"anger", "neutral", "sadness"}
    assert last["summary"]["answers"] == len(rows)
    assert last["summary"]["dropped"] == 0
    assert not last["summary"]["interrupted"]


def test_in_real_time_it_takes_as_long_as_it_lasts(model, tmp_path, spoken):
    x = sf.read(spoken)[0][: 3 * SR // 2]
    file = tmp_path / "short.wav"
    sf.write(file, x, SR)
    done = CliRunner().invoke(app, ["stream", str(model), str(file), "--realtime"])
    assert done.exit_code == 0, done.output
    assert "1.0 s\t" in done.stdout
    assert " ms" in done.stdout
    seconds = float(done.stderr.split(" answers in ")[1].split(" s")[0])
    assert seconds >= 1.49


@pytest.mark.slow  # in real time: a busy machine misses its moments
def test_an_interrupt_ends_with_a_summary(model, spoken):
    """Ctrl-C is how one ends it: exit code 0."""
    long = spoken.with_name("long.wav")  # it must not end before it is interrupted
    sf.write(long, np.tile(sf.read(spoken)[0], 10), SR)
    command = [sys.executable, "-m", "serfeat.cli", "stream", str(model), str(long)]
    process = subprocess.Popen(
        [*command, "--realtime", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(rest.splitlines()[-1])["summary"]["interrupted"]


@pytest.mark.parametrize("extra", [[], ["x.wav", "--microphone"]])
def test_one_source_is_needed(model, extra):
    done = CliRunner().invoke(app, ["stream", str(model), *extra])
    assert isinstance(done.exception, AudioError)
    assert done.exception.code == "bad-source"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("{model}", "{folder}"), "a folder, expected one recording; give a file"),
        (("{folder}/none", "{speech}"), "no such file or folder"),
        (("{folder}", "{speech}"), "not a stored model"),
        (("{speech}", "{speech}"), "not a stored model"),
        (("{model}", "{folder}/none.wav"), "no such file"),
        (("{model}", "{text}"), "not audio"),
        (("{model}", "{speech}", "--window", "0.2"), "window is 0.2 s, expected at least 1 s"),
        (("{model}", "{speech}", "--every", "nan"), "every is nan s, expected at least 0.01 s"),
        (("{model}", "{speech}", "--fade", "-1"), "fade is -1 s, expected at least 0 s"),
    ],
)
def test_what_cannot_be_listened_to_is_one_line(
    model: Path, spoken: Path, tmp_path: Path, capsys: Any, typed: tuple[str, ...], words: str
) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    places = {"model": model, "speech": spoken, "folder": tmp_path, "text": tmp_path / "notes.txt"}
    assert main(["stream", *(word.format(**places) for word in typed)]) == 2
    said = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("loading ")]
    assert len(said) == 1, said
    assert words in said[0]


def test_a_stereo_recording_at_its_own_rate(model: Path, spoken: Path, tmp_path: Path) -> None:
    """44.1 kHz in two channels: the answers of the same speech in mono at 16 kHz, nearly."""
    x, _ = sf.read(spoken)
    y = soxr.resample(x, SR, 44_100, quality="VHQ")
    sf.write(tmp_path / "stereo.wav", np.stack([y, y], axis=1), 44_100)
    rows = []
    for file in (spoken, tmp_path / "stereo.wav"):
        done = CliRunner().invoke(app, ["stream", str(model), str(file), "--json"])
        assert done.exit_code == 0, done.output
        rows.append([json.loads(line) for line in done.stdout.splitlines()[:-1]])
    mono, stereo = rows
    assert [r["time"] for r in stereo[:-1]] == [r["time"] for r in mono[:-1]]
    for a, b in zip(mono[2:-1], stereo[2:-1], strict=True):
        assert a["label"] == b["label"]
        assert a["values"] == pytest.approx(b["values"], abs=0.05)


# --- sources ----------------------------------------------------------------------------------


def test_what_nobody_fetches_is_dropped_and_counted():
    feed = Feed(SR, capacity=3)
    assert not feed.put(np.zeros(160))  # not begun: not kept, and not missed
    feed.start()
    assert [feed.put(np.full(160, i)) for i in range(5)] == [True, True, True, False, False]
    feed.end()
    assert feed.dropped == 2
    assert [chunk.samples[0] for chunk in feed] == [0, 1, 2]


def test_a_recording_comes_whole_and_in_order(spoken):
    x, _ = sf.read(spoken)
    with paced(spoken, realtime=False) as feed:
        feed.start()
        found = np.concatenate([chunk.samples for chunk in feed])
    np.testing.assert_array_equal(found, x)


def test_leaving_early_ends_the_player(spoken):
    begun = time.perf_counter()
    for realtime in (True, False):
        with paced(spoken, realtime=realtime) as feed:
            feed.start()
            next(iter(feed))
        with paced(spoken, realtime=realtime):
            pass  # never begun
    assert time.perf_counter() - begun < 5


def test_percentiles():
    seen = Latencies()
    assert seen.percentiles() == {}
    for i in range(101):
        seen.add(i / 1000)
    assert seen.percentiles() == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


class _Device:
    """Stands for sounddevice, which needs hardware."""

    class PortAudioError(Exception):
        pass

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def InputStream(self, *, callback: Any, blocksize: int, **_: Any) -> Any:
        if self.wrong:
            raise self.PortAudioError(self.wrong)

        class Opened:
            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def speak(self, n: int) -> None:
                for i in range(n):
                    status = SimpleNamespace(input_overflow=i == 1)
                    callback(np.full((blocksize, 1), 0.5, "f4"), blocksize, None, status)

        self.opened = Opened()
        return self.opened


def test_a_microphone_hands_over_what_it_hears(monkeypatch):
    device = _Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    with microphone(SR) as feed:
        feed.start()
        device.opened.speak(3)
    assert [len(chunk.samples) for chunk in feed] == [160, 160, 160]
    assert feed.dropped == 1  # the device itself lost one


def test_without_a_microphone_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", _Device("no default device"))
    with pytest.raises(AudioError, match="no default device"), microphone():
        pass
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtraError, match=r"serfeat\[microphone\]"), microphone():
        pass
