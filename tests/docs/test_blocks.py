"""Every block of code of every page and of the README is run, or at least read.

Python blocks of a page are run in order, in one namespace, in a folder of its own with the embedded
corpus. Of shell blocks the commands of serfeat are run through the command line; what is marked
``<!-- parsed only: REASON -->`` before the block, or is in `LONG`, is held against the commands and
options that there are. TOML blocks are read; whole recipes are saved under the name in their first
line, for the commands after them.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from serfeat.cli import app, main
from serfeat.demo import make_corpus
from serfeat.recipe import read_recipe

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "labs/README.md")
PAGES += tuple(sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")))
PAGES = tuple(p for p in PAGES if (ROOT / p).exists())
BLOCK = re.compile(r"(?:<!-- parsed only: ([^>]*?) -->\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)

# Commands that are not run wherever they stand, and why; a test counts what this leaves out.
LONG = {
    r"serfeat demo\b": "two to three minutes",
    r"serfeat fetch\b": "downloads",
    r"serfeat (lab|stream)\b": "runs until it is stopped",
    r"serfeat init (?!.*--yes)": "asks three questions",
    r"serfeat compare (mine|emodb|timnet|leak|noise|cross|pipelines|RECIPE)": "minutes",
    r"serfeat lint runs/mine": "of a run that takes minutes",
    r".*encoder:": "needs the weights of an encoder",
    r"serfeat distil\b": "needs the weights of an encoder",
    r".*(--backend|egemaps|--accept-opensmile)": "the licence of another program",
    r"serfeat agree\b": "runs other programs on every clip",
    r".*--engine dask": "starts a scheduler",
    r".*--prepare mmse": "denoises every clip",
}
# Words that open other lines of a shell block; what follows is not ours to test.
OTHERS = {"pip", "git", "cd", ".", "mkdir", "export", "unzip", "sbatch", "jupytext", "mkdocs"}


@dataclass(frozen=True)
class Block:
    """A block of code; `reason` is why it is parsed only."""

    language: str
    text: str
    line: int
    reason: str = ""


@dataclass
class Tally:
    """What was done with the commands and blocks of the pages."""

    run: Counter[str] = field(default_factory=Counter)
    parsed: Counter[str] = field(default_factory=Counter)


TALLY = Tally()


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(m[2], m[3], text.count("\n", 0, m.start()) + 1, m[1] or "")
        for m in BLOCK.finditer(text)
    ]


def lines_of(block: Block) -> Iterator[str]:
    """Commands of a shell block: continued lines joined, comments and prompts taken off."""
    for line in block.text.replace("\\\n", " ").splitlines():
        line = line.strip().removeprefix("$ ")
        if line and not line.startswith("#"):
            yield line


def words_of(line: str) -> list[str]:
    """Words without settings of the environment in front, and up to a pipe or redirection."""
    words = shlex.split(re.sub(r"<[^>]*>", "PLACE", line), comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    ends = [i for i, w in enumerate(words) if w in (">", "|", "&&", ">>", "2>")]
    return words[: ends[0]] if ends else words


def resolve(words: Sequence[str]) -> None:
    """Hold a command against the commands, options and arguments that there are."""
    command: Any = get_command(app)
    rest = list(words[1:])
    path = ["serfeat"]
    while True:
        context = command.make_context(path[-1], [], resilient_parsing=True)
        context.resilient_parsing = False
        given, rest, _ = command.make_parser(context).parse_args(args=list(rest))
        if not hasattr(command, "commands"):
            break
        if not rest:
            assert given or path == ["serfeat"], f"{words}: which command of {path}?"
            return
        assert rest[0] in command.commands, f"{' '.join(path)} has no command {rest[0]!r}"
        path.append(rest[0])
        command, rest = command.commands[rest[0]], rest[1:]
    assert not rest, f"{' '.join(path)} does not take {rest}"
    for param in command.params:
        missing = given.get(param.name) in (None, (), [])
        assert not (param.required and missing), f"{' '.join(path)} needs {param.name}"


def reason_of(line: str, block: Block, page: str) -> str:
    """Why a command is not run; empty where it is."""
    if block.reason:
        return block.reason
    if page.startswith(("docs/results/", "labs/", "docs/scale", "docs/encoders")):
        return "results: hours on real corpora"
    return next((why for pattern, why in LONG.items() if re.match(pattern, line)), "")


def check_command(line: str, block: Block, page: str) -> None:
    """Run or read one line of a shell block."""
    words = words_of(line)
    if not words or words[0] in OTHERS:
        return
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        assert set(words[1:2]) <= {*targets, "site", "notebooks"}, line
    elif words[0] in ("python", "python3"):
        assert words[1].startswith("-") or (ROOT / words[1]).exists(), line
    else:
        assert words[0] == "serfeat", f"{page}:{block.line}: what is {words[0]!r}?"
        resolve(words)
        if reason := reason_of(line, block, page):
            TALLY.parsed[reason] += 1
            return
        code = main(words[1:])
        found = {1} if words[1:2] in (["lint"], ["doctor"]) else set()  # they have found something
        assert code in {0} | found, f"{page}:{block.line}: {line} ended with {code}"
        TALLY.run["sh"] += 1


def check_toml(block: Block, folder: Path) -> None:
    text = block.text
    tomllib.loads(text)
    body = re.sub(r"\A(#.*\n)*", "", text)
    if not body.startswith("title"):
        return
    named = re.match(r"# (\S+\.toml)\n", text)
    path = folder / (named[1] if named else "mine.toml")
    path.write_text(text, encoding="utf-8")
    read_recipe(path).plan()
    TALLY.run["toml"] += 1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of: the demo's speech, my_speech/, and files of other tools."""
    folder = tmp_path_factory.mktemp("pages")
    made = make_corpus(
        folder / "runs" / "demo" / "speech" / "source-filter",
        speakers=4,
        sentences=2,
        emotions=("anger", "neutral", "sadness"),
    )
    for wav in made.parent.rglob("*.wav"):
        speaker, emotion, _ = wav.stem.split("_")
        place = folder / "my_speech" / speaker / emotion
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(wav, place / wav.name)
    shutil.copy(wav, folder / "new.wav")
    shutil.copytree(place, folder / "other_folder")
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["manifest", "folders", "my_speech", "-o", "speech.csv"]) == 0
        assert main(["extract", "my_speech", "-o", "known.csv", "--features", "energy,zcr"]) == 0
        assert main(["export", "known.csv", "-o", "theirs.arff"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_every_block(page: str, corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A page from top to bottom."""
    found = blocks(page)
    if not found:
        return
    runs_something = not page.startswith("docs/results/")
    folder = tmp_path / "page"
    if runs_something:
        shutil.copytree(corpus, folder, copy_function=os.link)
        monkeypatch.chdir(folder)
        monkeypatch.delenv("SERFEAT_CORPORA", raising=False)  # the same on every machine
    names: dict[str, Any] = {"__name__": "page"}
    for block in found:
        where = f"{page}:{block.line}"
        if block.language in ("sh", "console", "bash"):
            for line in lines_of(block):
                check_command(line, block, page)
        elif block.language == "python":
            code = compile(block.text, where, "exec")
            if block.reason:
                TALLY.parsed[block.reason] += 1
            else:
                exec(code, names)
                TALLY.run["python"] += 1
        elif block.language == "toml":
            check_toml(block, folder)
        else:
            assert block.language == "text", f"{where}: nothing tests {block.language}"


def test_most_is_run() -> None:
    """What is parsed only is little, and says why; the reasons are listed with ``pytest -s``."""
    if not TALLY.run:
        pytest.skip("the pages were not run in this process")
    print("run:", dict(TALLY.run))
    for reason, n in TALLY.parsed.most_common():
        print(f"parsed only, {n}: {reason}")
    outside = sum(n for why, n in TALLY.parsed.items() if not why.startswith("results"))
    assert all(len(reason) > 5 for reason in TALLY.parsed)
    assert sum(TALLY.run.values()) > outside


@pytest.mark.parametrize(
    "line",
    [
        "serfeat extrakt my_speech/ -o f.csv",
        "serfeat extract my_speech/ -o f.csv --feature prosody",
        "serfeat extract my_speech/",
        "serfeat store verfy",
        "serfeat manifest emodb one two",
    ],
)
def test_a_wrong_line_is_seen(line: str) -> None:
    """The checker itself: commands, options and arguments that are not there."""
    with pytest.raises(Exception, match=r"no command|[Nn]o such option|needs|does not take"):
        resolve(words_of(line))


def test_unmarked_fences_hold_no_code() -> None:
    """A block without a language would not be tested: pages have none."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        opening = re.findall(r"^```(\w*)$", text, flags=re.M)[::2]
        assert all(opening), f"{page}: a block without a language"
