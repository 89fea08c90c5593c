"""What is shown while one waits: on a terminal, in a file, on a dumb or narrow one, or nothing."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from serfeat.cli import main, progress
from serfeat.cli.progress import _lines, progress_bars, time_left

RUN = """
import time
from serfeat.cli.screen import progress_bars, out
with progress_bars() as report:
    for i in range(31):
        report("features [classic]: part", i, 30)
        time.sleep(0.005)
out.print("done", style="bold red")
"""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (89, "89 s"),
        (91, "2 min"),
        (5_340, "89 min"),
        (7_200, "2 h 0 min"),
    ],
)
def test_time_left(seconds: float, words: str) -> None:
    assert time_left(seconds) == words


def test_lines_come_now_and_then_and_say_how_long() -> None:
    """One second a clip: a line every ten. Seen to fail with `EVERY = 5` and without `first`."""
    text, now = io.StringIO(), [0.0]
    report = _lines(Console(file=text, soft_wrap=True, highlight=False), clock=lambda: now[0])
    for done in range(20, 51):  # the first twenty were known
        now[0] = float(done - 20)
        report("features", done, 50)
    report("features", 50, 50)
    assert text.getvalue().splitlines() == [
        "features: 30 of 50, about 20 s left",
        "features: 40 of 50, about 10 s left",
        "features: 50 of 50",
    ]


def test_a_stage_that_does_not_move_has_no_time_left() -> None:
    text, now = io.StringIO(), [0.0]
    report = _lines(Console(file=text, soft_wrap=True), clock=lambda: now[0])
    report("x", 0, 5)
    now[0] = 11.0
    report("x", 0, 5)
    assert text.getvalue() == "x: 0 of 5\n"


def test_quiet_is_silence() -> None:
    text = io.StringIO()
    with progress_bars(Console(file=text, force_terminal=True), quiet=True) as report:
        report("x", 1, 1)
    assert text.getvalue() == ""


def on_a_terminal(columns: int, **environment: str) -> str:
    """What a terminal of this width is sent."""
    parent, child = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    environment = {"TERM": "xterm-256color", **environment, "COLUMNS": str(columns)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=child, stderr=child, env=clean | environment
    ) as running:
        os.close(child)
        said = b""
        while True:
            try:
                piece = os.read(parent, 65_536)
            except OSError:  # the other end was closed
                break
            if not piece:
                break
            said += piece
        assert running.wait() == 0, said
    os.close(parent)
    return said.decode()


def shown(text: str) -> str:
    """The same without escape codes."""
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_terminal_has_a_bar_and_the_time() -> None:
    said = on_a_terminal(100)
    assert "\x1b[" in said
    assert "30/30" in shown(said)
    assert "features [classic]: part" in shown(said)


def test_a_narrow_terminal_is_not_overrun() -> None:
    said = shown(on_a_terminal(40))
    assert "100%" in said
    assert max(map(len, said.replace("\r", "\n").split("\n"))) <= 40


def test_no_colour_is_obeyed() -> None:
    import re

    colour = r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;5)[0-9;]*m"
    assert re.search(colour, on_a_terminal(100))
    assert not re.search(colour, on_a_terminal(100, NO_COLOR="1"))


def test_a_dumb_terminal_gets_no_codes() -> None:
    said = on_a_terminal(100, TERM="dumb")
    assert "\x1b" not in said
    assert "features [classic]: part: 30 of 30" in said


@pytest.mark.parametrize("force", ["", "1"])
def test_a_file_gets_no_bar(force: str) -> None:
    """Words may be coloured where FORCE_COLOR asks for it; a bar never moves in a file."""
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, check=True,
        env=clean | ({"FORCE_COLOR": force} if force else {}),
    )  # fmt: skip
    assert done.stderr == "features [classic]: part: 30 of 30\n"
    assert ("\x1b" in done.stdout) == bool(force)


def test_quiet_extraction(tiny: Path, tmp_path: Path, capsys) -> None:
    words = ["extract", str(tiny), "-o", str(tmp_path / "t.csv"), "--features", "energy"]
    assert main(words) == 0
    assert "24 of 24" in capsys.readouterr().err
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_moving_bar_needs_a_terminal(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert not progress.moves(Console(file=io.StringIO(), force_terminal=True))
