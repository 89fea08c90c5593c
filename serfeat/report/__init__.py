"""The report: a run folder becomes one page that a reader cannot be misled by.

Everything here is a pure function of the run folder; the same folder gives the same bytes.

The run folder
--------------
Only the predictions and run.json are needed; what is absent is left out of the page.

predictions.parquet : one row per clip x entry x protocol x fold x seed: file, start, end, corpus,
    speaker, truth, prediction, entry, protocol, fold, seed, control (True: trained on shuffled
    labels), p_<label> for every label. Optional: condition ("clean", or what was done to the test
    clip), sex, language, text_id, session (empty: unknown). A run on ratings has target (e.g.
    "valence") and numbers as truth and prediction.
history.parquet : deep entries: entry, protocol, fold, seed, epoch, train_loss, train_accuracy,
    validation_uar, of a regression validation_ccc (NaN: none), seconds.
costs.parquet : entry, protocol, fold, seed, control, fit_s, predict_s, n_train, n_test,
    n_features, parameters, size_bytes.
rows.parquet : one row per clip, in row-number order: file, start, end, corpus, speaker, sex,
    language, text_id, session, emotion, content.
folds.json : protocol -> folds with name, train and test (row numbers).
tuning.parquet : entry, protocol, fold, seed, trial, params (JSON), inner_score, inner_sd, chosen,
    seconds.
tasks.parquet : what networks with several tasks said of other columns: entry, protocol, fold, seed,
    target, truth, prediction (text), speaker, corpus.
importance.parquet, contributions.parquet, gates.parquet : see `serfeat.explain`.
lint.json : clean, findings (kind, severity, where, words), checked. Without it everything on the
    page is marked as not linted.
seal.json : digests of all these files, see `serfeat.compare.seal`; what differs is marked.
run.json : title, command, created, seconds, labels, corpus, protocols, entries (each with its
    normalisation), normalisation, selection, versions, machine, failures, warnings, extraction,
    seeds; optional conditions (what `Condition.record` says of each), manifest_sha256,
    dropped_labels, and `marks`: warnings that every table and figure must carry (for example that
    the epoch was chosen on the test fold).

Contents
--------
`write_report` : run folder -> report.html, leaderboard.csv, leaderboard.md, leaderboard.tex.
`as_text`      : the leaderboard as rows of text for a terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from serfeat.files import committed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_text", "write_report"]


def write_report(folder: Path) -> Path:
    """Write report.html and leaderboard.csv, .md and .tex into a run folder.

    Parameters
    ----------
    folder : a run folder (see the module).

    Returns
    -------
    Path of report.html: one page without script and without any request, so that it opens offline
    and can be sent by mail.

    Raises
    ------
    StoreError : a part of the folder is missing or cannot be read.
    """
    # jinja2 and matplotlib are needed here only; `import serfeat` stays quick.
    from serfeat.report import exports, page
    from serfeat.report.run import read_run

    run = read_run(Path(folder))
    _write(Path(folder) / "leaderboard.csv", exports.as_csv(run))
    _write(Path(folder) / "leaderboard.md", page.markdown(run))
    _write(Path(folder) / "leaderboard.tex", exports.as_latex(page.score_tables(run)))
    return _write(Path(folder) / "report.html", page.render(run))


def as_text(board: pd.DataFrame) -> list[list[str]]:
    """The table of `serfeat.compare.leaderboard` as rows of text; the first is the header."""
    from serfeat.report import exports

    return exports.as_text(board)


def _write(path: Path, text: str) -> Path:
    # A name from a non-UTF-8 file system may hold lone surrogates; they become "?".
    with committed(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))
    return path
