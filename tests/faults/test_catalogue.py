"""Every entry of the catalogue has a test, and the page says what the tests say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ..parsing import nothing_collected
from .catalogue import CATALOGUE

PROGRAM = Path(__file__).parents[2] / "bench" / "reliability.py"


def test_page_is_what_the_tests_say() -> None:
    """Seen to fail with another outcome in the catalogue."""
    spec = importlib.util.spec_from_file_location("reliability", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reliability"] = module
    spec.loader.exec_module(module)
    page = module.PAGE.read_text(encoding="utf-8")
    with nothing_collected():
        cases = module.cases()
        made = module.with_table(page)
    assert set(CATALOGUE) == set(range(1, 103))
    assert not [n for n in CATALOGUE if not cases[n].tests]
    whole = [n for n, case in cases.items() if case.tests and not case.lacking]
    assert len(whole) == len(CATALOGUE) == 102, "102 of 102"
    assert "102 of 102 entries give the expected outcome in full" in made
    assert made == page, "run python bench/reliability.py"
