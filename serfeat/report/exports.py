"""The leaderboard elsewhere: for a terminal, a repository, a spreadsheet and a paper.

Every one of them carries the marks of the run, because it leaves its page behind.

Contents
--------
`as_text` `as_markdown` `as_csv` `as_latex`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from serfeat.report.blocks import Table
from serfeat.report.differences import beaten_by
from serfeat.report.numbers import interval, percent, visible
from serfeat.report.run import Run

__all__ = ["as_csv", "as_latex", "as_markdown", "as_text"]


def as_text(board: pd.DataFrame) -> list[list[str]]:
    """The leaderboard as rows of text for a terminal; the first row is the header.

    Columns: protocol, entry, UAR %, 95 % interval, folds, WAR %, F1 %, AUC, clips. Control rows
    say so in the entry's name.
    """
    rows = [
        ["protocol", "entry", "UAR %", "95 % interval", "folds", "WAR %", "F1 %", "AUC", "clips"]
    ]
    for row in board.to_dict("records"):
        rows.append(
            [
                visible(row["protocol"]),
                visible(row["entry"]) + (" (random labels)" if row["control"] else ""),
                percent(row["uar"]),
                interval(row["uar_low"], row["uar_high"]),
                f"{percent(row['uar_folds_mean'])} ± {percent(row['uar_folds_sd'])}",
                percent(row["war"]),
                percent(row["f1_macro"]),
                f"{row['auc']:.3f}" if np.isfinite(row["auc"]) else "–",
                str(row["n"]),
            ]
        )
    return rows


def as_markdown(tables: Iterable[Table]) -> str:
    """Tables as GitHub Markdown, each after its marks and caption."""
    blocks = []
    for table in tables:
        align = ["---" if i in table.text else "---:" for i in range(len(table.head))]
        lines = [_markdown_row(table.head), _markdown_row(align, raw=True)]
        lines += [_markdown_row(row) for row in table.rows]
        head = "".join(f"**{mark}**\n\n" for mark in table.marks)
        blocks.append(f"{head}{table.caption}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(blocks)


def _markdown_row(cells: Iterable[str], *, raw: bool = False) -> str:
    special = str.maketrans({c: f"\\{c}" for c in "\\|`*_<>[]"})
    return "| " + " | ".join(c if raw else c.translate(special) for c in cells) + " |"


def as_csv(run: Run) -> str:
    """The leaderboard as CSV, full precision (0..1), one row per protocol and entry.

    A name that a spreadsheet would run as a formula (it begins with = + - @) gets an apostrophe.
    """
    board = run.board.copy()
    board["normalisation"] = [run.normalisation(str(e)) for e in board["entry"]]
    board["better_than"] = [
        "" if control else "; ".join(beaten_by(run, str(entry), str(protocol)))
        for entry, protocol, control in zip(
            board["entry"], board["protocol"], board["control"], strict=True
        )
    ]
    board["speaker_dependent"] = [run.dependent(str(p)) for p in board["protocol"]]
    board["marks"] = ["; ".join(run.marks(str(p))) for p in board["protocol"]]
    for name in ("protocol", "entry", "normalisation", "better_than", "marks"):
        board[name] = [_cell(v) for v in board[name]]
    return str(board.to_csv(index=False, lineterminator="\n"))


def _cell(text: object) -> str:
    shown = visible(text)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown


# --- a paper ---------------------------------------------------------------------------------

# what LaTeX would read as a command -> how it is written as text
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "“": "``",
    "”": "''",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
}
_LATEX = str.maketrans(LATEX)
PREAMBLE = r"""% made by serfeat; needs \usepackage{booktabs}
"""


def as_latex(tables: Iterable[Table]) -> str:
    """Tables for a paper: booktabs, everything escaped, marks and caption in the caption.

    Parameters
    ----------
    tables : one per protocol; their captions say what a reader must know (protocol, chance,
        normalisation), because the page does not come along.
    """
    return PREAMBLE + "\n".join(_latex_table(table, i) for i, table in enumerate(tables, 1))


def _latex_table(table: Table, number: int) -> str:
    marks = "".join(rf"\textbf{{{mark.translate(_LATEX)}.}} " for mark in table.marks)
    columns = "".join("l" if i in table.text else "r" for i in range(len(table.head)))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{marks}{table.caption.translate(_LATEX)}}}",
        rf"\label{{tab:serfeat-{number}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row(table.head),
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(f"{{{c.translate(_LATEX)}}}" for c in cells) + r" \\"
