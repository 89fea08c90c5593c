"""The paper that the report's figures are drawn on.

Conventions
-----------
No file, no global state, no pyplot; the same input gives the same bytes on every machine, because
matplotlib's defaults are set anew, ids are salted with the figure's name and dates are left out.
Text stays text (it can be searched, selected and read aloud) in the page's own font. Colours are
Okabe and Ito's, which the colour-blind can tell apart, and a marker says the same thing a second
time. In the finished drawing each is a CSS variable with the colour as fallback, so that the page
can darken at night and a figure that is copied out of it keeps its looks.

Contents
--------
`canvas` : a figure of so many inches.
`finish` : the figure as one `<svg>` element.
`short` `margin` `percent_axis` : what the figures share.

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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "CYCLE",
    "GREY",
    "INK",
    "PAPER",
    "RULE",
    "VERMILION",
    "canvas",
    "finish",
    "margin",
    "percent_axis",
    "short",
]

INK, GREY, RULE, PAPER = "#1a1a1a", "#595959", "#d0d0d0", "#fffffe"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    *("#0072b2", "#d55e00", "#009e73", "#b3558a", "#b87a00", "#3f8fc0"),
)
# colours and markers of lines, so that neighbours differ in both
CYCLE = tuple(zip((BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK), "os^Dv<P", strict=True))
# drawn colour -> CSS variable of the page
VARIABLES = {
    INK: "ink",
    GREY: "soft",
    RULE: "rule",
    PAPER: "paper",
    BLUE: "blue",
    VERMILION: "vermilion",
    GREEN: "green",
    PURPLE: "purple",
    ORANGE: "orange",
    SKY: "sky",
    "#8a2b00": "warn",
}
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


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
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


def finish(figure: Figure, name: str, alt: str, marks: Sequence[str]) -> str:
    """Draw the marks, serialise, and make the figure fit to stand inside a page.

    Parameters
    ----------
    figure : made by `canvas`, still inside it.
    name : unique on the page; prefix of the ids.
    alt : what a reader who cannot see the figure is told.
    marks : warnings that the drawing must carry wherever it is copied to.

    Returns
    -------
    One ``<svg>`` element.
    """
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
    width, height = (float(v) * 72 for v in figure.get_size_inches())
    head = (
        f'<svg class="figure" role="img" aria-label="{html.escape(alt, quote=True)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" style="width:{width * 96 / 72:.0f}px">'
    )
    return head + _slim(text[text.index("<svg") :], name)


def _slim(text: str, name: str) -> str:
    """What stands inside matplotlib's `<svg>`, without what the page says once for all figures."""
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    # The style sheet of an inline SVG would apply to the whole page; the page has its own.
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.S)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)  # ids must be unique on the page
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'="[^"]*"', _rounded, text)
    text = re.sub(r'style="[^"]*"', _styled, text)
    text = re.sub(r"<g>\s*</g>", "", text)
    return re.sub(r"\n\s*", "\n", text[text.index(">") + 1 :]).strip()


def _styled(style: re.Match[str]) -> str:
    """A style without its font, which the page gives, and with variables for our colours."""
    text = re.sub(r"; font-family: [^;\"]*|font-family: [^;\"]*; ", "", style[0])
    text = re.sub(r"font: ([^;\"']*?) '[^;\"]*", r"font: \1 var(--sans)", text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name},{colour})")
    return text


def _rounded(attribute: re.Match[str]) -> str:
    """Two decimals of a point are enough for coordinates; it halves the page."""
    return re.sub(
        r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), attribute[0]
    )


# --- what the figures share ------------------------------------------------------------------


def short(text: str) -> str:
    """A name that fits on an axis: printable, at most 22 characters."""
    shown = "".join(c if c.isprintable() else "�" for c in text)
    return shown if len(shown) <= 22 else shown[:20] + "…"


def margin(names: Sequence[str]) -> float:
    """Inches that the longest of these names needs beside an axis."""
    return 0.25 + 0.075 * max((len(short(name)) for name in names), default=0)


def percent_axis(ax: Axes, label: str) -> None:
    """0 to 100 across, with a light grid and no line on the left."""
    ax.set_xlim(0, 100)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel(label, loc="right")  # beside long names it may be wider than the axis
    ax.grid(axis="x", color=RULE, lw=0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_axisbelow(True)
