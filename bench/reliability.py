"""The table of docs/results/reliability.md, made from the tests of the catalogue of faults.

    python bench/reliability.py

A test belongs to the entries whose three-digit numbers are in its name, or in the keys of the table
that it goes through. The names are read with `ast`; nothing is run. A strict xfail, or a line of
`LACKING`, is what the entry still lacks.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "faults"
PAGE = ROOT / "docs" / "results" / "reliability.md"
BEGIN, END = "<!-- catalogue: python bench/reliability.py -->", "<!-- end of the catalogue -->"
NUMBER = re.compile(r"(?:test|and)_(\d{3})_")


@dataclass
class Covered:
    """Tests of one entry, and what is lacking."""

    words: str
    outcome: str
    tests: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def _table(name: str, wanted: str) -> dict[int, Any]:
    """A dict literal of a module of the tests."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[int, Any] = getattr(module, wanted)
    return found


def _lacking(function: ast.FunctionDef) -> str:
    """Reason of a strict xfail, "" without one."""
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("xfail"):
            words = {k.arg: k.value for k in mark.keywords}
            return str(ast.literal_eval(words["reason"]))
    return ""


def cases() -> dict[int, Covered]:
    """Every entry with its tests."""
    found = {n: Covered(*entry) for n, entry in _table("catalogue", "CATALOGUE").items()}
    for n, reason in _table("catalogue", "LACKING").items():
        found[n].lacking.append(reason)
    for n in _table("bad_audio", "CASES"):
        found[n].tests.append("test_recordings.py")
    for path in sorted(TESTS.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            numbers: list[int] = []
            lacking = ""
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = [int(n) for n in NUMBER.findall(node.name)]
                lacking = _lacking(node)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
                keys = [k.value for k in node.value.keys if isinstance(k, ast.Constant)]
                numbers = [int(m[1]) for k in keys if (m := re.match(r"(\d{3}) ", str(k)))]
            for n in dict.fromkeys(numbers):
                if path.name not in found[n].tests:
                    found[n].tests.append(path.name)
                found[n].lacking += [lacking] if lacking else []
    return found


def with_table(page: str) -> str:
    """The page with a fresh table between its marks."""
    lines = ["| # | input | what serfeat does | test | lacking |", "|---:|---|---|---|---|"]
    known = cases()
    for n, case in known.items():
        row = (str(n), case.words, case.outcome, ", ".join(case.tests), "; ".join(case.lacking))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    whole = sum(not case.lacking for case in known.values())
    head = f"{whole} of {len(known)} entries give the expected outcome in full.\n\n"
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{head}" + "\n".join(lines) + f"\n\n{END}" + rest.partition(END)[2]


def main() -> None:
    """Write the table into the page."""
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
