"""The documents: generated ones equal their tables, README's commands exist and its code runs."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from serfeat.cli import app
from serfeat.lld import DESCRIPTORS
from serfeat.recipe import read_recipe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def script(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["descriptors.md", "tables.md"])
def test_generated_documents_are_fresh(name: str) -> None:
    """Catches a changed summary, unit, setting, oracle, ... of a descriptor."""
    made = script(ROOT / "docs" / "generate.py").DOCUMENTS[name]() + "\n"
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made, "run `make docs`"


@pytest.mark.parametrize("name", ["comparisons.md", "training.md"])
def test_recipes_in_documents_can_be_read(name: str, tmp_path: Path) -> None:
    """Catches a word that a recipe no longer has; fragments without a title are left out."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    whole = [b for b in re.findall(r"```toml\n(.*?)```", text, re.S) if b.startswith("title")]
    for i, block in enumerate(whole):
        (tmp_path / f"{i}.toml").write_text(block, encoding="utf-8")
        read_recipe(tmp_path / f"{i}.toml").plan()
    assert whole or name == "training.md"


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_every_descriptor_has_its_section_and_its_picture(name: str) -> None:
    """Catches a new column that the picture does not show, and a picture without text."""
    text = (ROOT / "docs" / "descriptors.md").read_text(encoding="utf-8")
    assert f"### `{name}`" in text
    assert f"(figures/{name}.svg)" in text
    picture = (ROOT / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    columns = DESCRIPTORS[name].columns
    rows = [re.sub(r"_\d+$", "_k, k =", c) for c in columns]  # what a long numbered row is called
    names = {r if rows.count(r) >= 6 else c for r, c in zip(rows, columns, strict=True)}
    missing = [c for c in (*names, "s") if f">{c}<" not in picture]
    assert not missing, "run `make docs`"
    assert len(picture) < 120_000


def test_pictures_are_those_of_descriptors_and_small() -> None:
    pictures = sorted((ROOT / "docs" / "figures").iterdir())
    assert {p.name for p in pictures} == {f"{name}.svg" for name in DESCRIPTORS}
    assert sum(p.stat().st_size for p in pictures) < 32_000 * len(DESCRIPTORS)


def test_every_descriptor_says_what_it_is_tested_against() -> None:
    assert not [d.name for d in DESCRIPTORS.values() if not d.oracle]


def test_accuracy_has_every_section_of_its_script() -> None:
    """The numbers take minutes; the titles and quantities show that they are of this script."""
    text = (ROOT / "docs" / "results" / "accuracy.md").read_text(encoding="utf-8")
    titles = script(ROOT / "bench" / "accuracy.py").SECTIONS
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(titles)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.count("|") == rows[0].count("|") for line in rows)
    assert not re.search(r"/(work|home|tmp|usr)/", text), "a path of one machine"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def test_readme_python_runs(tiny: Path) -> None:
    """The five lines, on the small embedded corpus in place of the demo's."""
    (code,) = blocks("python")
    code = code.replace("runs/demo/speech/source-filter", str(tiny.parent))
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    result = names["result"]
    assert len(result.table) == 24  # type: ignore[attr-defined]


def test_readme_commands_exist() -> None:
    known = {c.name or c.callback.__name__ for c in app.registered_commands}
    known = {name.rstrip("_") for name in known} | {g.name for g in app.registered_groups}
    shown = set(re.findall(r"serfeat ([a-z]+)\b", "\n".join(blocks("sh"))))
    assert shown
    assert shown <= known, shown - known
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"make ([a-z-]+)", README)) - {"sure"} <= targets | {"a"}


def test_readme_recipe_is_good(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    tomllib.loads(text)
    (tmp_path / "mine.toml").write_text(text)
    read_recipe(tmp_path / "mine.toml")


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith(("http:", "https:")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_wheel_ships_recipes_and_cards() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert set(shipped) == {"pipelines", "data_manifests"}
    assert all((ROOT / folder).is_dir() for folder in shipped)
