"""The Live view: its WebSocket without a browser, and the page with Chromium's fake microphone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra lab is not installed")

from starlette.websockets import WebSocketDisconnect

from serfeat.lab import live

pytestmark = pytest.mark.slow  # in real time: a busy machine misses its moments

SR = 16_000
ORIGIN = {"host": "127.0.0.1", "origin": "http://127.0.0.1"}


@pytest.fixture(scope="module")
def model(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from serfeat.deploy import train
    from serfeat.manifest_csv import read_manifest
    from serfeat.plan import Entry

    folder = tmp_path_factory.mktemp("models") / "ridge"
    return train(read_manifest(tiny), Entry("ridge", "ridge", "classic"), folder, held_out=0)


@pytest.fixture(scope="module")
def client(token: str, model: Path) -> Iterator[Any]:
    from starlette.testclient import TestClient

    from serfeat.lab.app import make_app
    from serfeat.lab.state import Lab, Options

    lab = Lab(Options(token=token, models=(model.parent,), workers=1))
    with TestClient(make_app(lab), base_url="http://127.0.0.1") as found:
        yield found


def opened(client: Any, token: str, **settings: Any) -> Any:
    """A WebSocket that has sent its token and settings."""
    session = client.websocket_connect("/api/live", headers=ORIGIN)
    socket = session.__enter__()
    socket.send_json({"token": token})
    socket.send_json({"sr": SR, "model": "", **settings})
    return session, socket


def sent(socket: Any, x: np.ndarray, size: int = 320) -> list[dict[str, Any]]:
    """Send x and gather the answers until its last frames are there."""
    found: list[dict[str, Any]] = []
    for i in range(0, len(x), size):
        socket.send_bytes(x[i : i + size].astype("<f4").tobytes())
        if not found or i % (10 * size) == 0:
            found.append(socket.receive_json())
    while not found[-1].get("times") or found[-1]["times"][-1] < len(x) / SR - 0.2:
        found.append(socket.receive_json())
    return found


def test_the_page_gets_the_frames_of_a_stream(client, token, buzz):
    from serfeat.streaming import Stream

    x = buzz(0.5).astype(np.float32)
    session, socket = opened(client, token)
    ready = socket.receive_json()["ready"]
    assert ready["names"] == []
    assert 60 < ready["delay_ms"] < 80
    found = sent(socket, x)
    f0 = [v for m in found for v in m["columns"]["f0_hz"]]
    times = [t for m in found for t in m["times"]]
    expected = Stream(live.CURVES, SR).push(x).values[: len(f0), 0]
    got = np.array([np.nan if v is None else v for v in f0])
    np.testing.assert_allclose(got, np.round(expected, 3), atol=1e-3)
    np.testing.assert_allclose(times, np.arange(len(times)) * 0.01, atol=1e-6)
    assert all(len(column) == live.BANDS for m in found for column in m["spectrum"])
    assert found[-1]["dropped"] == 0
    session.__exit__(None, None, None)


def test_a_model_answers(client, token, buzz):
    models = client.get("/api/live/models", headers={"X-Serfeat-Token": token}).json()
    assert [m["name"] for m in models] == ["ridge"]
    session, socket = opened(client, token, model=models[0]["id"])
    ready = socket.receive_json()["ready"]
    assert set(ready["names"]) == {"anger", "neutral", "sadness"}
    assert ready["synthetic"]
    x = np.tile(buzz(0.5), 4)
    found = sent(socket, x)
    moments = [m for message in found for m in message["moments"]]
    assert moments[0]["reason"] == "too little so far"
    assert {m["label"] for m in moments} <= {"anger", "neutral", "sadness", "unknown"}
    session.__exit__(None, None, None)


def closed_with(socket: Any) -> int:
    """Read until it closes; returns the code."""
    while True:
        try:
            socket.receive_json()
        except WebSocketDisconnect as end:
            return int(end.code)


@pytest.mark.parametrize(
    "headers",
    [{"host": "127.0.0.1", "origin": "http://elsewhere.example"}, {"host": "elsewhere.example"}],
)
def test_pages_from_elsewhere_are_refused(client, headers):
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/api/live", headers=headers).__enter__()


def test_without_the_token_nothing_is_said(client):
    with client.websocket_connect("/api/live", headers=ORIGIN) as socket:
        socket.send_json({"token": "guess"})
        assert closed_with(socket) == 1008


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "none"}, "no such model"),
        ({"sr": 12}, "expected 4000"),
        ({"sr": "x"}, "not understood"),
        ({"sr": None}, "not understood"),
    ],
)
def test_bad_settings_are_refused_in_words(client, token, settings, words):
    session, socket = opened(client, token, **settings)
    assert words in socket.receive_json()["error"]
    assert closed_with(socket) == 1008
    session.__exit__(None, None, None)


@pytest.mark.parametrize(
    "chunk",
    [b"abc", b"", np.full(8, np.nan, "<f4").tobytes(), np.zeros(2 * SR, "<f4").tobytes()],
    ids=["bytes", "nothing", "nan", "too long"],
)
def test_bad_chunks_end_the_stream_and_not_the_lab(client, token, chunk):
    session, socket = opened(client, token)
    socket.receive_json()
    socket.send_bytes(chunk)
    assert "error" in socket.receive_json()
    assert closed_with(socket) == 1008
    session.__exit__(None, None, None)
    again, socket = opened(client, token)
    assert "ready" in socket.receive_json()
    again.__exit__(None, None, None)


def test_only_so_many_listen_at_once(client, token):
    """And a place is free again when one goes."""
    sessions = []
    for _ in range(live.LISTENERS):
        session, socket = opened(client, token)
        assert "ready" in socket.receive_json()
        sessions.append(session)
    session, socket = opened(client, token)
    assert "streams are open already" in socket.receive_json()["error"]
    session.__exit__(None, None, None)
    for session in sessions:
        session.__exit__(None, None, None)
    session, socket = opened(client, token)
    assert "ready" in socket.receive_json()
    session.__exit__(None, None, None)


def test_what_comes_too_fast_is_dropped_and_counted(client, token, monkeypatch):
    """Ten seconds at once, while computing is slow: the queue holds half a second, no more."""
    import time

    slow = live.Listener.push

    def push(self: Any, samples: Any, arrived: float) -> Any:
        assert len(samples) <= (live.WAITING + 0.02) * SR
        time.sleep(0.1)
        return slow(self, samples, arrived)

    monkeypatch.setattr(live.Listener, "push", push)
    session, socket = opened(client, token)
    socket.receive_json()
    for _ in range(500):
        socket.send_bytes(np.zeros(320, "<f4").tobytes())
    dropped = 0
    for _ in range(12):
        dropped = max(dropped, socket.receive_json().get("dropped", 0))
        if dropped > 300:
            break
    assert dropped > 300
    session.__exit__(None, None, None)


# --- the page -------------------------------------------------------------------------------------

CHROMIUM = os.environ.get("SERFEAT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def address(tiny: Path, model: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "serfeat.cli", "lab", str(tiny.parent), "--no-browser"]
    process = subprocess.Popen(
        [*command, "--model", str(model), "--runs", str(tiny.parent / "none")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
    assert found
    yield found.group()
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def browser(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium whose microphone plays a sentence of the corpus."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("THE LIVE VIEW IS NOT TESTED: no Chromium here")
    import soundfile as sf

    x = np.concatenate([sf.read(f)[0] for f in sorted((tiny.parent / "s1").glob("*"))[:4]])
    spoken = tmp_path_factory.mktemp("spoken") / "microphone.wav"
    sf.write(spoken, x, SR, subtype="PCM_16")
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    if hasattr(os, "getuid") and os.getuid() == 0:
        flags.append("--no-sandbox")
    with sync_api.sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield made
        made.close()


@pytest.mark.parametrize("width", [1360, 360])
def test_one_speaks_and_sees_it(browser, address, width, tmp_path):
    """Start by keyboard, level and curves move, the model answers, stop; nothing goes wrong."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    page, wrong = context.new_page(), []
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda e: wrong.append(f"error {e}"))
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda r: None if "//127.0.0.1:" in r.url else wrong.append(r.url))
    page.goto(address + "#live")
    page.wait_for_selector("#live-start")
    assert page.locator("#live-stop").is_disabled()
    page.locator("#live-model option", has_text="ridge").wait_for(state="attached")
    page.focus("#live-start")
    page.keyboard.press("Enter")
    facts = page.locator("#live-facts")
    page.wait_for_function(
        "() => parseFloat(document.querySelector('#live-facts').textContent.split('·').at(-1)) > 3"
    )
    page.wait_for_function("() => document.querySelector('#live-level').value > -50")
    assert re.search(r"\b0 dropped", facts.inner_text())
    said = page.locator("#live-said").inner_text()
    assert said.split(" ")[0] in {"anger", "neutral", "sadness", "unknown"}
    inked = page.evaluate(
        """() => [...document.querySelectorAll('#panel-live canvas')].map(c => {
             const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
             const seen = new Set();
             for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
             return seen.size; })"""
    )
    assert len(inked) == 4
    assert min(inked) > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("SERFEAT_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/live-{width}.png", full_page=True)
    page.keyboard.press("Enter")  # the focus went to Stop
    assert page.locator("#live-start").is_enabled()
    page.wait_for_function("() => document.activeElement.id === 'live-start'")
    context.close()
    assert not wrong, wrong
