"""The site: builds strictly and offline, loads nothing from elsewhere, and says what is so."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from serfeat.cli import codes
from serfeat.heads import HEADS

from ..parsing import parsed

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))  # for made/


class Page(HTMLParser):
    """What a page loads, where its links lead, and what can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.inline: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.anchors.add(given.get("id", ""))
        if tag == "link" or "src" in given:
            self.loads.append(given.get("src") or given.get("href", ""))
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])


def _seconds_of_children() -> float:
    """CPU time of the processes that were waited for."""
    spent = os.times()
    return spent.children_user + spent.children_system


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; its build may take 30 s of one quiet core (20 s were measured)."""
    folder = tmp_path_factory.mktemp("site")
    began = _seconds_of_children()
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    assert _seconds_of_children() - began < 60  # CPU; the tests share their machine
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {str(p.relative_to(site)): Page(p) for p in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    """With `highlightjs: true` in mkdocs.yml 50 pages were seen to take it from a CDN."""
    foreign = {n: [u for u in p.loads if re.match(r"(https?:)?//", u)] for n, p in pages.items()}
    assert not {n: urls for n, urls in foreign.items() if urls}
    for sheet in site.rglob("*.css"):
        urls = re.findall(r"url\(['\"]?(?!data:)([^)'\"]+)|@import", sheet.read_text("utf-8"))
        assert not [u for u in urls if re.match(r"(https?:)?//", u)], sheet


def test_links_lead_to_anchors(site: Path, pages: dict[str, Page]) -> None:
    """MkDocs looks at links of Markdown; here those of the finished pages, API included."""
    lost = []
    for name, page in pages.items():
        if name == "404.html":
            continue
        for link in page.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (site / name).parent / path if path else site / name
            if target.is_dir():
                target /= "index.html"
            found = str(target.resolve().relative_to(site.resolve()))
            if not target.exists() or (anchor and anchor not in pages[found].anchors):
                lost.append(f"{name}: {link}")
    assert not lost, lost[:10]


def test_no_path_of_this_machine(site: Path) -> None:
    for page in site.rglob("*.html"):
        found = re.findall(r"(?<![\w.])/(?:root|work|home|tmp)/[\w/.-]+", page.read_text("utf-8"))
        assert not found, (page.name, found[:3])


def test_the_api_has_every_public_name(site: Path) -> None:
    """Seen to fail with a module that the pages lacked."""
    text = "".join(p.read_text("utf-8") for p in (site / "api").glob("*.html"))
    missing = []
    for path in sorted((ROOT / "serfeat").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if any(p.startswith("_") and p != "__init__" for p in parts) or "cli" in parts:
            continue
        name = ".".join(p for p in parts if p != "__init__")
        if name != "serfeat" and f'id="{name}"' not in text:
            missing.append(name)
    assert not missing


def test_every_module_has_a_group() -> None:
    """A new module stands on the page of its kind and not under "Foundations" by default."""
    modules = importlib.import_module("made.modules")
    known = {top for group in modules.GROUPS.values() for top in group}
    tops = {name.split(".")[1] for name in modules.public_modules()}
    assert not tops - known, f"give these a place in GROUPS of docs/made/modules.py: {tops - known}"


def test_generated_pages_are_fresh() -> None:
    """Catches a changed help text, default, setting, ... that the pages do not show."""
    generate = importlib.import_module("generate")
    stale = [
        name
        for name, make in generate.DOCUMENTS.items()
        if (DOCS / name).read_text("utf-8") != make() + "\n"
    ]
    assert not stale, f"run `make docs`: {stale}"


def test_drawings_of_protocols_are_fresh() -> None:
    divisions = importlib.import_module("made.divisions")
    drawn = {p.stem: p.read_text("utf-8") for p in (DOCS / divisions.PICTURES).glob("*.svg")}
    assert drawn == {name: divisions.drawing(name) for name in divisions.PROTOCOLS}


def test_a_drawing_shows_the_folds() -> None:
    """By hand: 6 speakers of 12 clips; the first fold tests one speaker and trains on five."""
    divisions = importlib.import_module("made.divisions")
    svg = divisions.drawing("leave_one_speaker_out")
    sides = {c: len(re.findall("M", d)) for d, c in re.findall(r'd="([^"]+)" fill="([^"]+)"', svg)}
    assert sides[divisions.SIDES["test"]] == 1  # the legend's, which is the last path
    assert "trains on 60 clips and tests 12" in svg
    assert [int(n) for n in re.findall(r">(\d+)</text>", svg)] == [
        k for k in range(1, 7) for _ in range(12)
    ]


def test_glossary() -> None:
    """80 terms and more; each once, with a sentence in both languages."""
    words = importlib.import_module("made.words")
    terms = [term for held in words.terms().values() for term in held]
    assert len(terms) >= 80
    for place in (0, 1):
        names = [t[place] for t in terms]
        assert len(set(names)) == len(names), {n for n in names if names.count(n) > 1}
    for english, chinese, meaning, same, link in terms:
        assert meaning.endswith(".") and meaning[0].isupper(), english  # noqa: PT018
        assert re.search(r"[\u4e00-\u9fff]", same) and same.endswith("。"), chinese  # noqa: PT018
        assert re.search(r"[\u4e00-\u9fff]", chinese), english
        assert (DOCS / link.partition("#")[0]).exists(), link


def test_promises_name_tests_that_exist() -> None:
    """Catches a test of that page that was renamed."""
    text = (DOCS / "promises.md").read_text("utf-8")
    named = re.findall(r"\[(test_\w+)\.py::(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)", text)
    assert len(named) == len(re.findall("::", text)) >= 20
    for module, test, path in named:
        assert Path(path).stem == module
        functions = {
            n.name
            for n in ast.walk(parsed((ROOT / path).read_text("utf-8")))
            if isinstance(n, ast.FunctionDef)
        }
        assert test in functions, f"{path} has no {test}"


def test_exit_codes_are_those_of_the_command_line() -> None:
    text = (DOCS / "promises.md").read_text("utf-8")
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.M)}
    assert shown == {v for k, v in vars(codes).items() if k.isupper() and isinstance(v, int)}


def test_shapes_of_heads_are_counted() -> None:
    """Independent: scikit-learn's way of counting an MLP's weights, and those of the paper."""
    networks = importlib.import_module("made.networks")
    rows, head = networks._flow("mlp")
    assert sum(p.numel() for p in head.parameters()) == 594 * 128 + 128 + 128 * 64 + 64 + 64 * 7 + 7
    assert rows[1][2] == "1 x 594"
    assert rows[-1] == ("logits", "", "7", "")


@pytest.mark.parametrize("name", HEADS)
def test_all_parameters_of_a_head_are_in_its_table(name: str) -> None:
    """Failed while what is called by its weights or methods (an LSTM's cells) was left out."""
    networks = importlib.import_module("made.networks")
    rows, head = networks._flow(name)
    told = sum(int(row[3].replace(",", "")) for row in rows[1:] if row[3])
    assert told == sum(p.numel() for p in head.parameters())
