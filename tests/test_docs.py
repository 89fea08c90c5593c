"""The documents: generated ones equal their tables, README's commands exist and its code runs."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from serfeat.cli import app
from serfeat.recipe import read_recipe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["descriptors.md", "tables.md"])
def test_generated_documents_are_fresh(name: str) -> None:
    made = generator().DOCUMENTS[name]() + "\n"
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made, "run `make docs`"


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
    known = {name.rstrip("_") for name in known}
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
