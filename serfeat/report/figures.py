"""The pictures of the report, as inline SVG.

Conventions
-----------
Every function takes plain numbers and returns the text of one `<svg>` element: no file, no global
state, no pyplot; the same input gives the same bytes on every machine, because matplotlib's
defaults are set anew, ids are salted with the figure's name and dates are left out. Text stays
text (it can be searched, selected and read aloud) in the page's own font. Scores are drawn in
percent. Colours are Okabe and Ito's, which the colour-blind can tell apart, and a marker says the
same thing a second time. `marks` are the warnings that a figure must carry wherever it is copied
to ("SYNTHETIC SPEECH", "SPEAKER-DEPENDENT"); they are drawn into it.

Contents
--------
`forest` `gap` `confusion` `heat_map` `curves`.

Sources
-------
Okabe and Ito, "Color universal design", 2008.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from serfeat.types import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["confusion", "curves", "forest", "gap", "heat_map"]

INK, GREY, RULE = "#1a1a1a", "#595959", "#d0d0d0"
BLUE, VERMILION = "#0072B2", "#D55E00"
# kind of entry -> (colour, marker)
LOOK = {"classical": (BLUE, "o"), "deep": (VERMILION, "s"), "control": (GREY, "D")}
STYLE: Any = {  # matplotlib types each key; a literal of all of them has no common type
    "svg.fonttype": "none",  # text stays text
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.titlesize": 10.0,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def forest(
    rows: Sequence[dict[str, Any]], *, chance: float, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw UAR with its interval, one line per entry, and the chance level.

    Parameters
    ----------
    rows : entry, kind ("classical", "deep", "control"), uar, low, high (0..1; NaN: not drawn).
    chance : 0..1.
    name : unique on the page; prefix of the ids.
    alt : what a reader who cannot see the figure is told.
    marks : warnings drawn into the figure.
    """
    with _canvas(4.7, 0.95 + 0.36 * len(rows)) as figure:
        ax = figure.add_subplot()
        for y, row in enumerate(rows):
            colour, marker = LOOK[row["kind"]]
            fill = "white" if row["kind"] == "control" else colour
            if np.isfinite(row["low"]):
                ax.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour, lw=1.8)
            ax.plot(100 * row["uar"], y, marker, color=colour, mfc=fill, ms=6.5, mew=1.4)
        ax.axvline(100 * chance, color=INK, lw=0.9, ls=(0, (4, 3)))
        ax.text(100 * chance, -0.75, f" chance {100 * chance:.1f}", va="bottom", color=GREY)
        ax.set_yticks(range(len(rows)), [_short(row["entry"]) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.8)
        _percent_axis(ax, "UAR in %, with 95 % interval over speakers")
        return _svg(figure, name, alt, marks)


def gap(
    rows: Sequence[dict[str, Any]], *, chance: float, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw each entry's UAR with held-out speakers and with random folds, joined by a line.

    Parameters
    ----------
    rows : entry, held, random (0..1).
    chance, name, alt, marks : as in `forest`.
    """
    with _canvas(4.7, 1.25 + 0.36 * len(rows)) as figure:
        ax = figure.add_subplot()
        for y, row in enumerate(rows):
            held, random = 100 * row["held"], 100 * row["random"]
            ax.plot([held, random], [y, y], color=RULE, lw=4, solid_capstyle="butt", zorder=1)
            first = y == 0
            ax.plot(held, y, "o", color=BLUE, ms=7, label="held-out speakers" if first else None)
            ax.plot(
                random,
                y,
                "^",
                color=VERMILION,
                mfc="white",
                mew=1.4,
                ms=7,
                label="random folds (speaker-dependent)" if first else None,
            )
            right = max(held, random)
            ax.text(right + 2, y, f"{random - held:+.1f}".replace("-", "−"), va="center")
        ax.axvline(100 * chance, color=INK, lw=0.9, ls=(0, (4, 3)))
        ax.set_yticks(range(len(rows)), [_short(row["entry"]) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        _percent_axis(ax, "UAR in %; dashed: chance; numbers: the gap in points")
        figure.legend(loc="outside lower left", frameon=False, ncols=2, fontsize=9, handletextpad=0)
        return _svg(figure, name, alt, marks)


def confusion(
    counts: Ints, labels: Sequence[str], *, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw a confusion matrix: per cent of each row (the truth), with the counts below.

    Parameters
    ----------
    counts : (C, C) row = truth, column = prediction.
    labels : (C,) names of the classes.
    name, alt, marks : as in `forest`.
    """
    totals = counts.sum(axis=1, keepdims=True)
    share = np.full(counts.shape, np.nan)
    np.divide(100.0 * counts, totals, out=share, where=totals > 0)
    text = [
        [
            "–" if np.isnan(share[i, j]) else f"{share[i, j]:.0f}\n({counts[i, j]})"
            for j in range(len(labels))
        ]
        for i in range(len(labels))
    ]
    side = max(0.46 * len(labels), 1.6)
    margin = _margin(labels)
    with _canvas(side + margin + 0.4, side + 0.7 * margin + 0.6) as figure:
        ax = figure.add_subplot()
        _cells(ax, share, text, fontsize=7.5)
        ax.set_xticks(np.arange(len(labels)) + 0.5, [_short(x) for x in labels], rotation=45)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
        ax.set_yticks(np.arange(len(labels)) + 0.5, [_short(x) for x in labels])
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
        return _svg(figure, name, alt, marks)


def heat_map(
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    name: str,
    alt: str,
    marks: Sequence[str] = (),
) -> str:
    """Draw scores (0..1, NaN: no cell) of speakers (rows) and entries (columns).

    Rows shrink and lose their numbers when there are more than 40; the page gives the table.
    """
    many = len(rows) > 40
    height = 0.12 if many else 0.27
    text = [["" if many or np.isnan(v) else f"{100 * v:.0f}" for v in row] for row in values]
    across, below = 0.4 + _margin(rows), 0.7 + 0.7 * _margin(columns)
    with _canvas(across + max(0.5 * len(columns), 2.0), below + height * len(rows)) as figure:
        ax = figure.add_subplot()
        _cells(ax, 100 * values, text, fontsize=8.5)
        ax.set_xticks(np.arange(len(columns)) + 0.5, [_short(c) for c in columns], rotation=45)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
        ax.set_yticks(np.arange(len(rows)) + 0.5, [_short(r) for r in rows])
        if many:
            ax.tick_params(axis="y", labelsize=6)
        ax.set_ylabel("speaker")
        return _svg(figure, name, alt, marks)


def curves(
    losses: Sequence[tuple[Floats, Floats]],
    scores: Sequence[tuple[Floats, Floats]],
    *,
    score_name: str,
    name: str,
    alt: str,
    marks: Sequence[str] = (),
) -> str:
    """Draw the training loss and a score over epochs: one thin line per fold and seed.

    Parameters
    ----------
    losses, scores : (epochs, values) of each training; scores in 0..1.
    score_name : what the scores are, for the axis.
    name, alt, marks : as in `forest`.
    """
    with _canvas(4.2, 3.6) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True)
        for ax, lines, colour, scale in (
            (top, losses, INK, 1.0),
            (bottom, scores, VERMILION, 100.0),
        ):
            for epochs, values in lines:
                ax.plot(epochs, scale * values, color=colour, lw=0.8, alpha=0.45)
            ax.grid(axis="y", color=RULE, lw=0.5)
        top.set_ylabel("training loss")
        top.set_ylim(bottom=0)
        bottom.set_ylabel(f"{score_name}, %")
        bottom.set_ylim(0, 102)
        bottom.set_xlabel("epoch")
        return _svg(figure, name, alt, marks)


# --- drawing ---------------------------------------------------------------------------------


def _short(text: str) -> str:
    """A name that fits on an axis: printable, at most 22 characters."""
    shown = "".join(c if c.isprintable() else "�" for c in text)
    return shown if len(shown) <= 22 else shown[:20] + "…"


def _margin(names: Sequence[str]) -> float:
    """Inches that the longest of these names needs beside an axis."""
    return 0.25 + 0.075 * max((len(_short(name)) for name in names), default=0)


def _percent_axis(ax: Axes, label: str) -> None:
    ax.set_xlim(0, 100)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel(label)
    ax.grid(axis="x", color=RULE, lw=0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_axisbelow(True)


def _cells(ax: Axes, values: Floats, text: Sequence[Sequence[str]], *, fontsize: float) -> None:
    """Coloured cells (0..100, white to dark blue; grey without a value) with text in them."""
    import matplotlib as mpl

    colours = mpl.colors.LinearSegmentedColormap.from_list(
        "depth", ["#ffffff", "#9ecae1", "#08306b"]
    ).with_extremes(bad="#e6e6e6")
    shown = np.ma.masked_invalid(values)
    ax.pcolormesh(shown, cmap=colours, vmin=0, vmax=100, edgecolors=RULE, linewidth=0.4)
    for (i, j), value in np.ndenumerate(values):
        if text[i][j]:
            ax.text(
                j + 0.5,
                i + 0.5,
                text[i][j],
                ha="center",
                va="center",
                fontsize=fontsize,
                linespacing=1.1,
                color="white" if value > 55 else INK,
                in_layout=False,  # it is inside the axes: measuring it only costs time
            )
    ax.invert_yaxis()
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


@contextmanager
def _canvas(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, under our style and nobody else's settings."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own matplotlibrc must not change the page
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def _svg(figure: Figure, name: str, alt: str, marks: Sequence[str]) -> str:
    """Finish a figure: draw the marks, serialise, and make it fit to stand inside a page."""
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = name
    if marks:
        across = int(figure.get_figwidth() * 72 / 6.0)  # characters that fit, at 6 points each
        lines = [line for mark in marks for line in textwrap.wrap(mark, across)]
        figure.suptitle("\n".join(lines), fontsize=8.5, fontweight="bold", color="#8a2b00")
    out = io.StringIO()
    with warnings.catch_warnings():
        # Names may be in any script; the reader's browser has the glyphs, matplotlib's font not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    # The style sheet of an inline SVG would apply to the whole page; the page has its own.
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.S)
    # Ids must be unique on the page.
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'="[^"]*"', _rounded, text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    width, height = (float(v) * 72 for v in figure.get_size_inches())
    head = (
        f'<svg class="figure" role="img" aria-label="{html.escape(alt, quote=True)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" style="width:{width * 96 / 72:.0f}px">'
    )
    return head + re.sub(r"\n\s*", "\n", text[text.index(">") + 1 :]).strip()


def _rounded(attribute: re.Match[str]) -> str:
    """Two decimals of a point are enough for coordinates; it halves the page."""
    return re.sub(
        r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), attribute[0]
    )
