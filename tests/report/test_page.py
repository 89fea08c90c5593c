"""The report: numbers equal the metrics, marks are where they must be, and names stay text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serfeat import metrics, stats
from serfeat.compare.leaderboard import leaderboard
from serfeat.errors import StoreError
from serfeat.report import as_text, figures, tables, write_report
from serfeat.report.numbers import points
from serfeat.report.run import DEPENDENT, SYNTHETIC, read_run
from serfeat.report.words import verdict
from serfeat.statistics import significance

LABELS = ["anger", "boredom", "fear", "happiness", "neutral"]
HELD, RANDOM = "leave_one_speaker_out", "random_kfold(10)"
# entry -> (kind, accuracy with held-out speakers, accuracy with random folds)
ENTRIES = {
    "knn": ("classical", 0.35, 0.70),
    "svm": ("classical", 0.72, 0.86),
    "mlp": ("deep", 0.66, 0.80),
    "timnet": ("deep", 0.68, 0.90),
}
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, make_run: Make) -> Path:
    folder = make_run(tmp_path_factory.mktemp("run"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def html_page(run_folder: Path) -> str:
    return (run_folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects what the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: list[dict[str, Any]] = []
        self.figures: list[str] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in ("meta", "link", "path", "use", "rect", "br", "hr", "img"):
            self._in.append(tag)
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")
        if tag == "figure":
            self.figures.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._in:
            while self._in.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "style" in self._in:
            return
        self.text += data
        if "caption" in self._in:
            self.tables[-1]["caption"] += data
        elif "td" in self._in or "th" in self._in:
            self.tables[-1]["rows"][-1][-1] += data
        if "figure" in self._in and "table" not in self._in:
            self.figures[-1] += data


def test_page_loads_nothing_and_runs_nothing(html_page: str) -> None:
    """Mutation caught: linking a font or leaving matplotlib's namespace URLs in."""
    parsed = Page(html_page)
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "iframe", "object", "embed", "img", "base"), tag
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name, "")
            assert value[:1] in ("", "#") or value == "data:,", (tag, name, value)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"https?://|@import|url\((?!#)", html_page)
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([^")]+)', html_page))
    assert wanted <= set(ids)


def test_hostile_names_stay_text(html_page: str) -> None:
    """Mutation caught: `autoescape=False`; `visible` returning its argument."""
    assert "<img" not in html_page
    assert "&lt;img src=x onerror=alert(1)&gt;" in html_page
    assert "\x1b" not in html_page
    assert "\u202e" not in html_page
    assert r"\x1b[2J" in html_page


@pytest.mark.filterwarnings("error")
def test_hostile_entry_and_label_names(tmp_path: Path, make_run: Make) -> None:
    """Names of entries, labels and speakers reach figures, alt texts, CSV and Markdown too."""
    bad = '"><script>alert(1)</script>'
    entries = {"=svm" + bad: ENTRIES["svm"], "t|im$net_": ENTRIES["timnet"]}
    folder = make_run(
        tmp_path,
        labels=["anger" + bad, "喜び"],
        entries=entries,
        speakers=("1" + bad, "02"),
        control=False,
    )
    text = write_report(folder).read_text(encoding="utf-8")
    assert "<script" not in text
    assert [t for t, _ in Page(text).tags].count("script") == 0
    assert "'=svm" in (folder / "leaderboard.csv").read_text(encoding="utf-8")
    assert r"t\|im$net\_" in (folder / "leaderboard.md").read_text(encoding="utf-8")


def test_synthetic_and_dependent_marks(run_folder: Path, html_page: str) -> None:
    """Every table and figure of synthetic speech says so; dependent ones say that as well.

    Mutation caught: a table or figure made without `run.marks`.
    """
    parsed = Page(html_page)
    tables_ = parsed.tables
    figures_ = [" ".join(f.split()) for f in parsed.figures]  # marks wrap in small drawings
    assert len(tables_) > 10
    assert len(figures_) > 5
    for table in tables_:
        assert SYNTHETIC in table["caption"], table["caption"]
    for figure in figures_:
        assert figure.count(SYNTHETIC) == 2, figure[:80]  # in the drawing and the caption
    assert sum(figure.count("SPEAKER-DEPENDENT") == 2 for figure in figures_) >= 2
    dependent = [t for t in tables_ if "random 10-fold" in t["caption"]]
    assert len(dependent) >= 3
    assert all(DEPENDENT in t["caption"] for t in dependent)
    held = [t for t in tables_ if "held-out speakers, one" in t["caption"]]
    assert not any(DEPENDENT in t["caption"] for t in held)
    headings = re.findall(r"<h3>(.*?)</h3>", html_page)
    marked = [h for h in headings if h.startswith("Random 10-fold")]
    assert marked
    assert all("speaker-dependent" in h for h in marked)
    csv = pd.read_csv(run_folder / "leaderboard.csv")
    assert csv["speaker_dependent"].tolist() == (csv["protocol"] == RANDOM).tolist()
    assert csv["marks"].str.contains("SYNTHETIC").all()


def test_real_speech_is_not_called_synthetic(tmp_path: Path, make_run: Make) -> None:
    """Mutation caught: the mark always on."""
    folder = make_run(tmp_path, synthetic=False, protocols=(HELD,))
    assert "SYNTHETIC" not in write_report(folder).read_text(encoding="utf-8")


def test_numbers_equal_the_metrics(run_folder: Path, html_page: str) -> None:
    """The scores and confusion tables hold what the metrics say of the predictions.

    Mutation caught: a transposed confusion matrix; the control among the entry's rows.
    """
    rows = pd.read_parquet(run_folder / "predictions.parquet")
    parsed = Page(html_page)
    board = next(t for t in parsed.tables if "Scores, held-out" in t["caption"])
    shown = {r[0]: r for r in board["rows"][1:]}
    assert set(shown) == {*ENTRIES, "svm, random labels (control)"}
    for entry in ENTRIES:
        mine = rows[(rows["entry"] == entry) & (rows["protocol"] == HELD) & ~rows["control"]]
        proba = mine[[f"p_{x}" for x in LABELS]]
        one = metrics.scores(list(mine["truth"]), list(mine["prediction"]), proba, labels=LABELS)
        assert shown[entry][1] == f"{100 * one['uar']:.1f}"
        assert shown[entry][6:11] == [
            f"{100 * one['war']:.1f}",
            f"{100 * one['f1_macro']:.1f}",
            f"{one['auc']:.3f}",
            ENTRIES[entry][0],
            "300",
        ]
    mine = rows[(rows["entry"] == "svm") & (rows["protocol"] == RANDOM) & ~rows["control"]]
    counts = metrics.confusion(list(mine["truth"]), list(mine["prediction"]), LABELS)
    table = next(t for t in parsed.tables if "svm, random 10-fold: truth" in t["caption"])
    cells = [[re.fullmatch(r"(\d+) \((\d+)\)", c) for c in r[1:-1]] for r in table["rows"][1:]]
    assert [[int(c[2]) for c in row] for row in cells] == counts.tolist()
    share = 100 * counts / counts.sum(axis=1, keepdims=True)
    assert np.abs([[int(c[1]) for c in row] for row in cells] - share).max() <= 0.5


def test_gap_table_is_random_minus_held_out(run_folder: Path, html_page: str) -> None:
    """Mutation caught: the two protocols swapped in the table of gaps."""
    board = leaderboard(pd.read_parquet(run_folder / "predictions.parquet"), labels=LABELS)
    board = board[~board["control"]]
    uar = {p: board[board["protocol"] == p].set_index("entry")["uar"] for p in (HELD, RANDOM)}
    table = next(t for t in Page(html_page).tables if "The gap:" in t["caption"])
    assert len(table["rows"]) == 1 + len(ENTRIES)
    for entry, random, held, gap, reach in table["rows"][1:]:
        assert random == f"{100 * uar[RANDOM][entry]:.1f}"
        assert held == f"{100 * uar[HELD][entry]:.1f}"
        assert gap == points(uar[RANDOM][entry] - uar[HELD][entry])
        assert reach.startswith("[")


def test_verdict_says_the_gap_first_and_what_the_interval_allows(run_folder: Path) -> None:
    """Mutation caught: held and random swapped (the sign of the gap); "ahead" without a test."""
    run = read_run(run_folder)
    first, second = verdict(run)
    gap = stats.protocol_gap(run.predictions, list(ENTRIES), RANDOM, HELD, labels=LABELS)
    assert first.startswith(f"Random folds gain {100 * gap.difference:.1f} points of UAR")
    assert gap.low > 0
    assert "with new speakers it is lost" in first
    scored = run.scored(HELD)
    best = {
        kind: next(e for e in scored["entry"] if run.kind(e) == kind)
        for kind in ("classical", "deep")
    }
    top, other = sorted(best, key=lambda kind: list(scored["entry"]).index(best[kind]))
    assert second.startswith(f"On held-out speakers {best[top]} ({top}) scores a UAR of ")
    assert f"the best {other} entry {best[other]}" in second
    pairs = significance.compare_entries(run.predictions, HELD, labels=LABELS)
    pairs = pairs.set_index(["a", "b"])
    assert pairs["better"].any()  # the test would say nothing of a run without a winner
    shown = bool(pairs["better"][best[top], best[other]])
    assert ("is shown by a paired test" in second) == shown
    assert second.endswith("Chance is 20.0 %.")


def test_better_than_is_what_the_test_says(run_folder: Path, html_page: str) -> None:
    """The column names exactly the pairs that are better after Holm; seen to fail with the rest."""
    run = read_run(run_folder)
    pairs = significance.compare_entries(run.predictions, HELD, labels=LABELS)
    board = next(t for t in Page(html_page).tables if "Scores, held-out" in t["caption"])
    for row in board["rows"][1:]:
        beaten = set(pairs.loc[(pairs["a"] == row[0]) & pairs["better"], "b"])
        assert set(row[3].split(", ")) - {"–"} == beaten


def test_verdict_without_held_out_speakers_warns(tmp_path: Path, make_run: Make) -> None:
    folder = make_run(tmp_path, protocols=(RANDOM,), control=False)
    opening = verdict(read_run(folder))
    assert opening[0].startswith("No protocol with held-out speakers was run")
    assert opening[1].startswith("On known speakers")
    assert "No random-label control was run" in write_report(folder).read_text(encoding="utf-8")


def test_verdict_at_chance(tmp_path: Path, make_run: Make) -> None:
    """Mutation caught: comparing chance with `uar_high`."""
    entries = {"svm": ("classical", 0.0, 0.0), "mlp": ("deep", 0.0, 0.0)}
    run = read_run(make_run(tmp_path, entries=entries, protocols=(HELD,)))
    assert "even the best is not distinguishable from it" in verdict(run)[-1]


def test_one_entry_one_speaker_and_no_optional_tables(tmp_path: Path, make_run: Make) -> None:
    """The smallest run: no interval is defined, and the page says so instead of failing."""
    one = {"svm": ENTRIES["svm"]}
    folder = make_run(tmp_path, entries=one, protocols=(HELD,), speakers=("08",), control=False)
    (folder / "history.parquet").unlink()
    (folder / "costs.parquet").unlink()
    text = write_report(folder).read_text(encoding="utf-8")
    assert "[not defined]" in text
    assert "nan" not in Page(text).text.lower().split()


def test_control_outside_chance_is_a_warning(
    run_folder: Path, tmp_path: Path, make_run: Make
) -> None:
    """A control that scores well is shown before anything else. Mutation: `inside` = True."""
    folder = make_run(tmp_path, protocols=(HELD,))
    rows = pd.read_parquet(folder / "predictions.parquet")
    leak = rows["control"] & (rows.index % 2 == 0)
    rows.loc[leak, "prediction"] = rows.loc[leak, "truth"]
    rows.to_parquet(folder / "predictions.parquet")
    text = write_report(folder).read_text(encoding="utf-8")
    assert "something leaks" in text[: text.index('id="scores"')]
    fine = (run_folder / "report.html").read_text(encoding="utf-8")
    assert "something leaks" not in fine
    assert "lies inside the interval" in fine


def test_accessible_structure(html_page: str) -> None:
    """Language, one h1, no skipped heading level, captions, header cells, alt texts, keyboard."""
    parsed = Page(html_page)
    tags = parsed.tags
    assert ("html", {"lang": "en"}) in tags
    levels = [int(t[1]) for t, _ in tags if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    n_tables = len(parsed.tables)
    assert [t for t, _ in tags].count("caption") == n_tables
    assert all(a.get("scope") in ("row", "col") for t, a in tags if t == "th")
    drawings = [a for t, a in tags if t == "svg"]
    assert len(drawings) == len(parsed.figures)
    assert all(a["role"] == "img" and len(a["aria-label"]) > 40 for a in drawings)
    scrolled = [a for t, a in tags if a.get("class") == "scroll"]
    assert len(scrolled) == n_tables
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in scrolled)


def test_same_folder_same_bytes_whatever_the_users_settings(run_folder: Path) -> None:
    """Mutation caught: no hash salt; the user's matplotlibrc leaking in, or ours leaking out."""
    import matplotlib as mpl

    before = (run_folder / "report.html").read_bytes()
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "red"}):
        write_report(run_folder)
        assert mpl.rcParams["font.size"] == 20.0
    assert (run_folder / "report.html").read_bytes() == before
    assert len(before) < 1_000_000


def test_as_text_has_one_row_per_entry(run_folder: Path) -> None:
    run = read_run(run_folder)
    rows = as_text(run.board)
    assert len(rows) == 1 + len(run.board)
    assert {len(r) for r in rows} == {len(rows[0])}
    assert [r[1] for r in rows[1:]].count("svm (random labels)") == 1


def test_broken_folders_give_one_clear_line(tmp_path: Path, make_run: Make) -> None:
    with pytest.raises(StoreError, match="run the comparison again"):
        write_report(tmp_path)
    folder = make_run(tmp_path / "run", protocols=(HELD,), control=False)
    rows = pd.read_parquet(folder / "predictions.parquet")
    rows.drop(columns="speaker").to_parquet(folder / "predictions.parquet")
    with pytest.raises(StoreError, match="without speaker"):
        write_report(folder)


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.0004, "0.0"), (-0.021, "−2.1"), (0.13, "+13.0"), (np.nan, "–")]
)
def test_points(value: float, shown: str) -> None:
    assert points(value) == shown


def test_figure_without_values() -> None:
    """A bin without a clip is no dot, not a crash or a warning; the alt text is escaped."""
    nothing = np.array([np.nan, 0.5])
    svg = figures.reliability(nothing, nothing, np.array([0.0, 1.0]), name="x", alt='"a" < b')
    assert 'aria-label="&quot;a&quot; &lt; b"' in svg
    assert svg.startswith("<svg class")


def test_class_without_a_clip_is_an_empty_row() -> None:
    table = tables.confusion_table(np.diag([3, 0]), ["a", "b"], "", ())
    assert [r[1:] for r in table.rows] == [("100 (3)", "0 (0)", "3"), ("–", "–", "0")]
    assert table.depth(0, 1) == "s10"
    assert table.depth(1, 1) == ""
