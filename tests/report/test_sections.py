"""The sections that only some runs have: there with their numbers, and absent without them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat import metrics
from serfeat.report import write_report
from serfeat.report.run import CLEAN, NOT_LINTED, read_run
from serfeat.report.sections import (
    beyond,
    dimensions,
    errors,
    explained,
    groups,
    inside,
)
from serfeat.statistics import calibration

Make = Callable[..., Path]
LABELS = ["anger", "boredom", "fear"]
HELD = "leave_one_speaker_out"
TWO = {"svm": ("classical", 0.8, 0.9), "timnet": ("deep", 0.4, 0.6)}
FINDING = {"kind": "texts", "severity": "leak", "where": "fold 1", "words": "a text on both sides"}


def _predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "predictions.parquet").reset_index(drop=True)


def _record(folder: Path, **changes: object) -> None:
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | changes))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, make_run: Make) -> Path:
    """A run of two entries on two "corpora", with sexes, and nothing else."""
    folder = make_run(
        tmp_path_factory.mktemp("plain"), labels=LABELS, entries=TWO, protocols=(HELD,), clips=4,
        control=False,
    )  # fmt: skip
    rows = _predictions(folder)
    rows["sex"] = np.where(rows["speaker"].astype(int) % 2 == 0, "female", "male")
    rows["condition"] = CLEAN
    rows.to_parquet(folder / "predictions.parquet")
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, plain: Path) -> Path:
    """The same run with everything that a run folder may hold."""
    folder = tmp_path_factory.mktemp("full")
    for name in ("run.json", "history.parquet", "costs.parquet"):
        (folder / name).write_bytes((plain / name).read_bytes())
    clean, rng = _predictions(plain), np.random.default_rng(3)
    noisy = []
    for i, snr in enumerate((20, 0)):
        one = clean.assign(condition=f"white {snr} dB")
        hit = rng.random(len(one)) < 0.3 + 0.4 * i
        one["prediction"] = np.where(hit, rng.choice(LABELS, len(one)), one["prediction"])
        noisy.append(one)
    pd.concat([clean, *noisy]).to_parquet(folder / "predictions.parquet")
    conditions = [{"name": f"white {s} dB", "kind": "white", "snr": s, "words": "noise"}
                  for s in (20, 0)]  # fmt: skip
    info = json.loads((plain / "run.json").read_text())
    info["entries"][1]["normalisation"] = "speaker"
    _record(folder, conditions=conditions, entries=info["entries"], seeds=[0])
    _tables(folder, clean)
    lint = {"clean": True, "findings": [], "checked": ["speakers", "near-identical-audio"]}
    (folder / "lint.json").write_text(json.dumps(lint))
    return folder


def _tables(folder: Path, clean: pd.DataFrame) -> None:
    svm = clean[clean["entry"] == "svm"]
    key = {"entry": "svm", "protocol": HELD, "seed": 0}
    trials = [
        {**key, "fold": fold, "trial": t, "params": json.dumps({"C": 10.0**t}),
         "inner_score": 0.5 + 0.1 * t, "inner_sd": 0.02, "chosen": t == 1, "seconds": 1.5}
        for fold in sorted(set(svm["fold"])) for t in (0, 1)
    ]  # fmt: skip
    pd.DataFrame(trials).to_parquet(folder / "tuning.parquet")
    said = []
    for family, prediction in (("", svm["prediction"]), ("f0", pd.Series("anger", svm.index)),
                               ("mfcc", svm["prediction"])):  # fmt: skip
        one = {"family": family, "repeat": 0, "prediction": prediction, "n": 1}
        said.append(svm[["speaker", "truth", "fold"]].assign(**key, **one, target="emotion"))
    pd.concat(said).to_parquet(folder / "importance.parquet")
    clip = svm.iloc[:2][["file", "start", "end", "speaker", "truth", "fold"]]
    net = {"entry": "timnet", "protocol": HELD, "seed": 0}
    looks = [clip.assign(**net, name=name, place=i, time=i * 0.01, weight=float(i == 7))
             for name in ("attention", "gate_1") for i in range(20)]  # fmt: skip
    pd.concat(looks).to_parquet(folder / "gates.parquet")
    added = {"f0": -2.0, "mfcc": 1.0, "(bias)": 9.0}
    shares = [clip.assign(**key, family=f, label=x, contribution=v)
              for f, v in added.items() for x in LABELS]  # fmt: skip
    pd.concat(shares).to_parquet(folder / "contributions.parquet")
    rows = svm[["file", "start", "end", "speaker"]].reset_index(drop=True)
    rows["corpus"] = np.where(rows["speaker"].astype(int) < 13, "north", "south")
    rows.assign(language="").to_parquet(folder / "rows.parquet")


@pytest.fixture(scope="module")
def page(full: Path) -> str:
    return write_report(full).read_text(encoding="utf-8")


def test_absent_tables_are_absent_sections(plain: Path) -> None:
    """Seen to fail with a section that is made of an empty table."""
    run = read_run(plain)
    empty = [beyond.noise_section, beyond.cross_section, explained.importance_section,
             explained.looks_section, inside.tuning_section]  # fmt: skip
    assert [f.__name__ for f in empty if f(run).blocks] == []


def test_every_section_has_an_anchor_and_is_listed(page: str) -> None:
    listed = re.findall(r'<li><a href="#(\w+)">', page)
    for key in ("scores", "fairness", "calibration", "noise", "importance", "looks", "tuning",
                "training", "costs", "cite"):  # fmt: skip
        assert key in listed
        assert f'id="{key}"' in page
    assert page.index('id="scores"') < page.index('class="fold"')  # the scores stand open
    assert len(page.encode()) < 500_000


def test_only_clean_clips_are_scored(full: Path, plain: Path) -> None:
    """Noise must not move the leaderboard; seen to fail with all conditions in `predictions`."""
    pd.testing.assert_frame_equal(read_run(full).board, read_run(plain).board)


def test_noise_numbers(full: Path) -> None:
    """The table holds the metrics' UAR of each condition; seen to fail with columns turned."""
    run = read_run(full)
    part = beyond.noise_section(run).blocks[-1]
    table = part.blocks[0]
    assert table.head == ("Entry", CLEAN, "white 20 dB", "white 0 dB")
    rows = _predictions(full)
    for row in table.rows:
        for name, shown in zip(table.head[1:], row[1:], strict=True):
            mine = rows[(rows["entry"] == row[0]) & (rows["condition"] == name)]
            uar = metrics.uar(list(mine["truth"]), list(mine["prediction"]), LABELS)
            assert shown == f"{100 * uar:.1f}"
    assert "SNR" in part.blocks[1].svg


@pytest.mark.parametrize(
    ("scores", "selection", "names"),
    [
        (["train_accuracy", "validation_uar"], "last", ["validation UAR %", "training accuracy %"]),
        (["train_accuracy", "validation_uar"], "test_oracle",
         ["test-fold UAR %", "training accuracy %"]),
        (["train_accuracy"], "last", ["training accuracy %"]),
        (["validation_ccc"], "validation", ["validation CCC"]),
        ([], "last", []),
    ],
)  # fmt: skip
def test_curves_show_the_score_that_a_training_has(
    plain: Path, tmp_path: Path, scores: list[str], selection: str, names: list[str]
) -> None:
    """And call it what it is. Seen to fail with training accuracy drawn where there is none."""
    for name in ("run.json", "history.parquet", "costs.parquet", "predictions.parquet"):
        (tmp_path / name).write_bytes((plain / name).read_bytes())
    entries = json.loads((plain / "run.json").read_text())["entries"]
    _record(tmp_path, entries=[e | {"params": {"selection": selection}} for e in entries])
    history = pd.read_parquet(tmp_path / "history.parquet")
    values = history["train_accuracy"].to_numpy()
    for column in ("train_accuracy", "validation_uar", "validation_ccc"):
        history[column] = values if column in scores else np.nan
    history.to_parquet(tmp_path / "history.parquet")
    picture = inside.training_section(read_run(tmp_path)).blocks[-1].blocks[0]
    assert picture.table.head[4:-1] == tuple(f"Last {n}" for n in names)
    last = values[history["epoch"] == history["epoch"].max()]
    shown = [f"{100 * x:.1f}" if names and "%" in names[0] else f"{x:.3g}" for x in last]
    assert [row[4] for row in picture.table.rows if names] == shown * bool(names)
    drawn = names[0].removesuffix(" %") if names else "training loss over"
    assert drawn in picture.caption
    assert drawn.removesuffix(" over") in picture.svg
    assert ("training accuracy" in picture.svg) == (names == ["training accuracy %"])


def test_importance_numbers(full: Path) -> None:
    """A family that turns every answer into anger costs UAR - 1/3, one that changes none 0.

    Seen to fail with the sign of the drop turned.
    """
    run = read_run(full)
    grid = explained.importance_section(run).blocks[-1].blocks[0]
    rows = {r[0]: r[1] for r in grid.blocks[0].table.rows}
    uar = float(run.board.set_index("entry")["uar"]["svm"])
    assert rows == {"f0": f"{100 * (uar - 1 / 3):+.1f}", "mfcc": "0.0"}


def test_contributions_leave_the_bias_out(full: Path) -> None:
    """Mean sizes, the largest first; seen to fail with the bias kept, and without `abs`."""
    tables = explained.importance_section(read_run(full)).blocks[-1].blocks
    shares = next(t for t in tables if t.kind == "table")
    assert shares.rows == [("f0", "2.000", "2.000", "2.000"), ("mfcc", "1.000", "1.000", "1.000")]


def test_look_says_where_the_weight_is(full: Path) -> None:
    """The peak was planted at 0.07 s. Seen to fail with `argmin`."""
    figure = explained.looks_section(read_run(full)).blocks[-1].blocks[0]
    assert "attention highest at 0.07 s" in figure.svg
    assert [r[-1] for r in figure.table.rows] == ["0.07", "0.07"]


def test_tuning_says_what_was_chosen(full: Path) -> None:
    """C = 10 in each of the 10 folds; seen to fail with all trials in place of the chosen."""
    part = inside.tuning_section(read_run(full)).blocks[-1]
    budget, folded = part.blocks
    assert budget.rows[0][:6] == ("svm", "2", "10", "1", "C = 10 (10 of 10)", "60.0")
    assert len(folded.blocks[0].rows) == 10


def test_calibration_table_is_the_metric(full: Path) -> None:
    """ECE of each entry. Seen to fail with probabilities of other clips."""
    run = read_run(full)
    table = errors.calibration_section(run).blocks[-1].blocks[0]
    for row in table.rows:
        mine = run.rows(HELD, row[0])
        proba = mine[[f"p_{x}" for x in LABELS]]
        assert row[1] == f"{100 * calibration.ece(list(mine['truth']), proba, LABELS):.1f}"


def test_fairness_has_both_sexes(full: Path) -> None:
    part = groups.fairness_section(read_run(full)).blocks[-1]
    scores, gaps, spread = part.blocks
    assert {r[1] for r in scores.rows} == {"female", "male"}
    assert {r[1] for r in gaps.rows} == {"female less male"}
    assert len(spread.rows) == 2


def test_cross_corpus_matrix(full: Path, tmp_path: Path) -> None:
    """Trained on the one, tested on the other. Seen to fail with training and test swapped."""
    for file in full.iterdir():
        if file.suffix in (".json", ".parquet"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    assert not beyond.cross_section(read_run(tmp_path)).blocks  # no folds, no matrix
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    names = rows["corpus"].to_numpy()
    predictions = _predictions(tmp_path)
    speakers = dict(zip(rows["speaker"], names, strict=True))
    predictions["corpus"] = predictions["speaker"].map(speakers)
    predictions["fold"] = np.where(predictions["corpus"] == "north", "test north", "test south")
    south = predictions["corpus"] == "south"
    predictions.loc[south, "prediction"] = predictions.loc[south, "truth"]
    predictions.to_parquet(tmp_path / "predictions.parquet")
    folds = [{"name": f"test {x}", "train": np.flatnonzero(names != x).tolist(),
              "test": np.flatnonzero(names == x).tolist()} for x in ("north", "south")]  # fmt: skip
    (tmp_path / "folds.json").write_text(json.dumps({HELD: folds}))
    grids = beyond.cross_section(read_run(tmp_path)).blocks[1]
    for table in grids.blocks:
        cells = {r[0]: dict(zip(table.head[1:], r[1:], strict=True)) for r in table.rows}
        assert cells["north"]["south"] == "100.0"  # trained in the north, perfect in the south
        assert cells["south"]["north"] != "100.0"
        assert cells["north"]["north"] == "–"


def test_transductive_entries_are_marked(full: Path, page: str) -> None:
    """Seen to fail with "global" for every entry."""
    assert "per speaker: uses the test speakers&#39; unlabelled audio" in page
    assert "Transductive: timnet used the test speakers&#39; unlabelled audio" in page
    text = (full / "leaderboard.tex").read_text(encoding="utf-8")
    assert "per speaker: uses the test speakers' unlabelled audio" in text


@pytest.mark.parametrize(
    ("lint", "mark"),
    [
        (None, NOT_LINTED),
        ({"clean": True, "findings": [], "checked": ["texts"]}, ""),
        ({"clean": False, "findings": [FINDING], "checked": []}, "LEAK FOUND BY LINT (texts)"),
    ],
)
def test_lint_marks_everything(
    tmp_path: Path, make_run: Make, lint: dict[str, object] | None, mark: str
) -> None:
    """Every table of a run that is not clean says so. Seen to fail without the lint's mark."""
    folder = make_run(
        tmp_path, labels=LABELS, entries=TWO, protocols=(HELD,), clips=2, synthetic=False
    )
    if lint is not None:
        (folder / "lint.json").write_text(json.dumps(lint))
    page = write_report(folder).read_text(encoding="utf-8")
    captions = re.findall(r"<caption.*?</caption>", page, flags=re.S)
    captions = [c for c in captions if "What the lint found" not in c]
    assert len(captions) > 8
    assert all((mark in c) if mark else ("LINT" not in c) for c in captions)
    for name in ("leaderboard.tex", "leaderboard.md", "leaderboard.csv"):
        assert mark in (folder / name).read_text(encoding="utf-8")
    assert ("a text on both sides" in page) == bool(lint and lint["findings"])
    assert ("Clean: no leak was found" in page) == bool(lint and lint["clean"])


def test_latex_is_escaped(tmp_path: Path, make_run: Make) -> None:
    """No character of a name reaches LaTeX as a command; seen to fail without the translation."""
    bad = r"a_b%$&#{}~^\input{x}"
    folder = make_run(
        tmp_path, labels=LABELS, entries={bad: TWO["svm"]}, protocols=(HELD,), clips=2,
        control=False,
    )  # fmt: skip
    write_report(folder)
    text = (folder / "leaderboard.tex").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("{a"))
    name = row.split(" & ")[0]
    assert (
        name == r"{a\_b\%\$\&\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}input\{x\}}"
    )
    assert text.count(r"\begin{table}") == 1
    assert text.count("{") == text.count("}")
    assert r"\toprule" in text


def test_dimensions(tmp_path: Path, make_run: Make) -> None:
    """A run on ratings: CCC of the metrics, scatter, speakers, no confusion.

    Seen to fail with truth and prediction of another target.
    """
    folder = make_run(
        tmp_path, labels=LABELS, entries=TWO, protocols=(HELD,), clips=3, control=False
    )
    base, rng = _predictions(folder), np.random.default_rng(0)
    base = base.drop(columns=[f"p_{x}" for x in LABELS])
    parts = []
    for target, noise in (("valence", 0.3), ("arousal", 2.0)):
        truth = base["file"].map(lambda f: (hash_of(f) % 97) / 20.0)
        parts.append(base.assign(target=target, truth=truth,
                                 prediction=truth + rng.normal(0, noise, len(base))))  # fmt: skip
    rows = pd.concat(parts, ignore_index=True)
    rows.to_parquet(folder / "predictions.parquet")
    page = write_report(folder).read_text(encoding="utf-8")
    run = read_run(folder)
    assert run.targets == ["valence", "arousal"]
    for table, target in zip(dimensions.ratings_tables(run), run.targets, strict=True):
        for row in table.rows:
            mine = rows[(rows["entry"] == row[0]) & (rows["target"] == target)]
            assert row[1] == f"{metrics.ccc(mine['truth'], mine['prediction']):.3f}"
    assert "Truth against prediction" in page
    assert 'id="confusions"' not in page
    assert "Valence, on held-out speakers" in page


def hash_of(text: str) -> int:
    """The same in every process, unlike `hash`."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text))


# --- colours ---------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2 of "#rgb" or "#rrggbb"."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    each = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in each]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def _contrast(a: str, b: str) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_text() -> None:
    """WCAG AA, 4.5 to 1, by day and night and on every shade; seen to fail with #86b4d8 as s6."""
    assert _contrast("#000", "#fff") == pytest.approx(21.0)
    css = (Path(errors.__file__).parent.parent / "style.css").read_text()
    for scheme in re.findall(r":root \{([^}]*)\}", css):
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        for name in ("ink", "soft", "link", "warn", "good"):
            assert _contrast(colours[name], colours["paper"]) >= 4.5, (name, colours)
    shades = dict(re.findall(r"\.(s\d+) \{ background: (#\w+)", css))
    assert len(shades) == 11
    for i in range(11):
        text = "#1a1a1a" if i <= 5 else "#fff"
        assert _contrast(text, shades[f"s{i}"]) >= 4.5, i
    lights = [_luminance(shades[f"s{i}"]) for i in range(11)]
    assert all(a > b for a, b in itertools.pairwise(lights))  # darker is more
