"""The lab's page in real Chromium: files good, bad and hostile, the microphone, knobs, keys.

Needs playwright and a Chromium of the system; skipped, with the reason, where either is missing
(set SERFEAT_CHROMIUM to its path if it has an unusual one).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("SERFEAT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip("THE LAB'S PAGE IS NOT TESTED: no Chromium here", allow_module_level=True)

ROOT = os.getuid() == 0 if hasattr(os, "getuid") else False
FLAGS = [
    *(("--no-sandbox",) if ROOT else ()),
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
DESK, PHONE = (1360, 900), (360, 740)


@pytest.fixture(scope="module")
def address(tiny: Path) -> Iterator[str]:
    """`serfeat lab` on the recordings of a small corpus."""
    command = [sys.executable, "-m", "serfeat.cli", "lab", str(tiny.parent), "--no-browser"]
    process = subprocess.Popen(
        [*command, "--upload-limit", "2", "--runs", str(tiny.parent / "none")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
    assert found
    yield found.group()
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page; afterwards nothing may have gone wrong, nor have left this computer."""
    contexts, wrong = [], []

    def open_(size: tuple[int, int] = DESK, **settings: Any) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, accept_downloads=True, **settings
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("dialog", lambda d: (wrong.append(f"dialog {d.message}"), d.dismiss()))
        page.on("pageerror", lambda e: wrong.append(f"error {e}"))
        page.on("request", lambda r: _local(r.url) or wrong.append(f"request {r.url}"))
        page.on("console", lambda m: _calm(m) or wrong.append(f"console {m.text}"))
        page.goto(address)
        page.wait_for_selector("#sound-record")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong, wrong


def _local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))


def _calm(message: Any) -> bool:
    """Whether a line of the console is none of ours: Chromium reports every refusal as an error."""
    refused = message.type == "error" and "the server responded with a status of 4" in message.text
    return refused or message.type not in ("error", "warning")


def _give(page: Any, *files: tuple[str, bytes]) -> None:
    page.set_input_files(
        "#sound-file",
        [{"name": n, "mimeType": "audio/wav", "buffer": b} for n, b in files],
    )


def _until(page: Any, expression: str, seconds: float = 20.0) -> None:
    """Wait for an expression: playwright's own wait needs `eval`, which the page forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def _drawn(page: Any, name: str = "picture", beyond: int = 0) -> int:
    """Wait until a part was drawn more than `beyond` times; how often it was."""
    count = f"performance.getEntriesByName('drawn:{name}').length"
    _until(page, f"{count} > {beyond}")
    return int(page.evaluate(count))


def _ink(page: Any, strip: str) -> float:
    """The spread of the pixels of a strip: 0 where nothing is drawn."""
    return float(
        page.evaluate(
            """name => { const c = document.querySelector(`[data-strip=${name}] canvas`);
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let n = 0, s = 0, q = 0;
            for (let i = 0; i < d.length; i += 4) { n += 1; s += d[i]; q += d[i] * d[i]; }
            return Math.sqrt(q / n - (s / n) ** 2); }""",
            strip,
        )
    )


def _label(page: Any, strip: str) -> str:
    return str(page.get_attribute(f"[data-strip={strip}] canvas", "aria-label"))


def test_a_good_file_is_seen(opened: Any, voice: bytes) -> None:
    page = opened()
    assert "token" not in page.url  # not in a screenshot, not in the history
    _give(page, ("my voice.wav", voice))
    for name in ("shape", "overview", "picture", "slice", "voicing/serfeat", "mfcc/serfeat"):
        _drawn(page, name)
    _drawn(page, "f0/serfeat")
    for strip in ("waveform", "spectrogram", "f0", "energy", "zcr", "hnr", "teo", "mfcc"):
        assert _ink(page, strip) > 3, strip
    assert "median 120 Hz" in _label(page, "f0")
    assert "60 % voiced" in _label(page, "waveform") or "6" in _label(page, "waveform")
    assert "1.00 s at 16000 Hz" in page.inner_text("#status")
    # every curve names its unit and its source
    for strip, words in (("f0", "Hz, Boersma 1993"), ("hnr", "dB, Boersma"), ("teo", "Kaiser")):
        assert words in page.inner_text(f"[data-strip={strip}] .source")
    page.reload()
    page.wait_for_selector("#sound-record")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("text.wav", b"I am no sound at all. " * 20, "text.wav: "),
        ("empty.wav", b"", "the file is empty"),
        ("large.wav", bytes(2_000_001), "larger than 2 MB"),
        ("page.wav", b"<html><script>alert(1)</script></html>", "page.wav: "),
    ],
)
def test_a_bad_file_is_told(
    opened: Any, voice: bytes, name: str, content: bytes, words: str
) -> None:
    page = opened()
    _give(page, (name, content))
    page.wait_for_selector("#failure:not([hidden])")
    line = page.inner_text("#failure")
    assert words in line
    assert "\n" not in line
    _give(page, ("good.wav", voice))  # and the lab goes on
    _drawn(page)
    assert page.is_hidden("#failure")


def test_a_hundred_hostile_names(opened: Any, wav: Any, buzz: Any) -> None:
    """Names are text: no dialog, no element, no attribute, no turned line."""
    page = opened()
    attacks = (
        "<img src=x onerror=alert({n})>", "<script>alert({n})<!-- {n}", "&lt;b&gt;{n}", "con",
        "\"onfocus=alert({n}) x=\"", "'-alert({n})-'", "javascript:alert({n})", "${{alert({n})}}",
        "{{{{constructor.constructor('alert({n})')()}}}}", "<svg onload=alert({n})>", "..\\..\\{n}",
        "\u202egnp.{n}", "a\nb{n}", "\x1b[31m{n}", "%3Cscript%3Ealert({n})%3C", "\ufeff{n}",
        "{n}\U0001f600\u0301\u0301", "\u2028alert({n})", "{n}" + "x" * 200,
        "<a href=javascript:alert({n})>x",
    )  # fmt: skip
    short = wav(buzz(0.1))
    names = [f"{a.format(n=n)}.wav" for n in range(5) for a in attacks]
    assert len(names) == 100
    elements = page.evaluate("document.querySelectorAll('img, script, svg, iframe, a').length")
    for first in range(0, 100, 10):
        _give(page, *((name, short) for name in names[first : first + 10]))
    _until(page, "performance.getEntriesByName('upload').length >= 100", 60)
    page.wait_for_timeout(500)
    assert page.is_hidden("#failure"), page.inner_text("#failure")
    after = page.evaluate("document.querySelectorAll('img, script, svg, iframe, a').length")
    assert after == elements
    assert "\u202e" not in page.inner_text("#now")


def test_the_microphone(opened: Any) -> None:
    """Chromium's fake device beeps at 440 Hz once a second."""
    page = opened()
    page.click("#sound-record")
    page.wait_for_selector("#sound-record[aria-pressed=true]")
    page.wait_for_timeout(1600)
    page.click("#sound-record")
    _drawn(page)
    assert re.fullmatch(r"recording \d\d:\d\d:\d\d\.wav", page.inner_text("#now"))
    seconds = float(re.search(r"([\d.]+) s at", page.inner_text("#status")).group(1))  # type: ignore[union-attr]
    assert 1.0 < seconds < 6.0
    assert _ink(page, "spectrogram") > 3


def test_sliders_undo_and_reset(opened: Any, voice: bytes) -> None:
    """A slider moves what it touches, and nothing else; both ways back lead back."""
    page = opened()
    _give(page, ("a.wav", voice))
    before = {n: _drawn(page, n) for n in ("f0/serfeat", "zcr/serfeat", "formants/serfeat")}
    assert "median 120" in _label(page, "f0")
    at_120 = "document.querySelector('[data-strip=f0] canvas').ariaLabel.includes('median 120')"
    page.focus("#slider-floor")
    for _ in range(20):
        page.keyboard.press("ArrowRight")  # 75 to 175 Hz: 120 Hz is not looked for any more
    _until(page, "!" + at_120)
    assert page.inner_text("output[for=slider-floor]") == "175 Hz"
    count = "performance.getEntriesByName('drawn:zcr/serfeat').length"
    assert page.evaluate(count) == before["zcr/serfeat"]  # what it does not touch stays
    page.click("#slider-reset")
    _until(page, "" + at_120)
    page.click("#slider-undo")
    assert page.inner_text("output[for=slider-floor]") == "175 Hz"
    page.evaluate(
        """() => { const s = document.getElementById('slider-ceiling'); s.value = 150;
        s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }"""
    )
    assert page.inner_text("output[for=slider-floor]") == "140 Hz"  # stays below the ceiling
    formants = _drawn(page, "formants/serfeat")
    page.focus("#slider-order")
    page.keyboard.press("ArrowRight")
    _drawn(page, "formants/serfeat", formants)
    assert "12 poles" in page.inner_text("output[for=slider-order]")
    assert page.is_hidden("#failure")


def test_other_sources_beside_ours(opened: Any, voice: bytes) -> None:
    page = opened()
    _give(page, ("a.wav", voice))
    _drawn(page, "f0/serfeat")
    page.click("[data-strip=f0] [data-source=f0_yin]")
    _drawn(page, "f0/f0_yin")
    assert "YIN" in page.inner_text("[data-strip=f0] .source")
    praat = page.locator("[data-strip=f0] [data-source=praat]")
    if praat.is_enabled():
        praat.click()
        _drawn(page, "f0/praat")
        assert "Praat: median 120" in _label(page, "f0")
    # openSMILE's licence was not accepted: it says so and cannot be chosen
    smile = page.locator("[data-strip=f0] [data-source=opensmile]")
    if smile.is_disabled():
        assert "openSMILE" in smile.get_attribute("title")


def test_zoom_selection_and_downloads(opened: Any, voice: bytes, tmp_path: Path) -> None:
    page = opened()
    _give(page, ("my voice.wav", voice))
    _drawn(page, "mfcc/serfeat")
    _drawn(page)
    box = page.locator("[data-strip=spectrogram] canvas").bounding_box()
    y = box["y"] + 50
    x = [box["x"] + 54 + share * (box["width"] - 62) for share in (0.25, 0.75)]
    page.mouse.move(x[0], y)
    page.mouse.down()
    page.mouse.move(x[1], y, steps=4)
    page.mouse.up()
    found = re.search(r"selected ([\d.]+) to ([\d.]+) s", page.inner_text("#sound-readout"))
    assert found
    assert [float(v) for v in found.groups()] == pytest.approx([0.25, 0.75], abs=0.01)
    before = _drawn(page)
    page.click("#sound-fit")
    _drawn(page, "picture", before)
    page.click("#sound-play")
    _until(page, "document.getElementById('sound-play').textContent.includes('Stop')")
    _until(page, "document.getElementById('sound-play').textContent.includes('Play')")
    with page.expect_download() as down:
        page.click("#sound-csv")
    assert down.value.suggested_filename == "my_voice.csv"
    down.value.save_as(tmp_path / "a.csv")
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert table.dtype.names[:5] == ("time_s", "f0_hz", "f1_hz", "f2_hz", "f3_hz")
    assert (table["time_s"][0], table["time_s"][-1]) == pytest.approx((0.25, 0.75), abs=0.011)
    assert np.nanmedian(table["f0_hz"]) == pytest.approx(120, abs=0.5)
    with page.expect_download() as down:
        page.click("#sound-png")
    down.value.save_as(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_corpus_by_keyboard_alone(opened: Any) -> None:
    """From the first tab to a zoomed picture without a mouse."""
    page = opened()
    page.wait_for_selector(".sounds li")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(document.activeElement.id || document.activeElement.textContent)")
        )
        if page.evaluate("document.activeElement.closest('.sounds') !== null"):
            break
    for name in ("tab-sound", "sound-file", "sound-record", "sound-corpus", "sound-query"):
        assert name in reached
    page.keyboard.press("Enter")
    _drawn(page, "f0/serfeat")
    _drawn(page)
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('plots')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    before = _drawn(page)
    page.keyboard.press("+")
    after = _drawn(page, "picture", before)
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    assert "selected" in page.inner_text("#sound-readout")
    page.keyboard.press("Escape")
    assert "selected" not in page.inner_text("#sound-readout")
    page.keyboard.press("0")
    _drawn(page, "picture", after)


def test_tabs_by_arrows(opened: Any) -> None:
    page = opened()
    page.focus("#tab-sound")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") == "tab-corpus"
    assert page.get_attribute("#tab-corpus", "aria-selected") == "true"
    _until(page, "location.hash === '#corpus'")
    page.keyboard.press("Home")
    assert page.is_visible("#panel-sound")
    assert page.is_hidden("#panel-corpus")


@pytest.mark.parametrize("size", [PHONE, (800, 900), DESK])
def test_no_width_needs_a_scroll_to_the_side(
    opened: Any, voice: bytes, size: tuple[int, int]
) -> None:
    page = opened(size)
    _give(page, ("a name that is rather long, for a file.wav", voice))
    _drawn(page, "mfcc/serfeat")
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert over <= 0
    assert _ink(page, "spectrogram") > 3
    small = page.evaluate(
        """() => [...document.querySelectorAll('#panel-sound button, #panel-sound select')]
        .filter(e => e.offsetParent && !e.disabled && e.offsetHeight < 20)
        .map(e => e.textContent)"""
    )
    assert not small


def test_every_control_has_a_name(opened: Any, voice: bytes) -> None:
    page = opened()
    _give(page, ("a.wav", voice))
    _drawn(page)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, canvas:not([aria-hidden])')]
        .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
        .map(e => e.outerHTML)"""
    )
    assert not nameless


def test_dark_and_calm(opened: Any, voice: bytes) -> None:
    """In the dark the paper is dark; who wants no motion gets no transition."""
    page = opened(color_scheme="dark", reduced_motion="reduce")
    _give(page, ("a.wav", voice))
    _drawn(page)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", paper)[:3])) < 150
    moving = page.evaluate(
        "[...document.querySelectorAll('button')]"
        ".filter(b => getComputedStyle(b).transitionDuration !== '0s').length"
    )
    assert moving == 0
