"""Draw every descriptor on one utterance of the embedded corpus: docs/figures/*.svg.

The speech is synthetic, so its truth is known: F0 and formants are drawn beside what the
synthesiser was told. Text stays text, numbers in paths are rounded, and the bytes are the same at
every run. Colours are Okabe and Ito's and cividis, which the colour-blind can tell apart.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from serfeat.demo import Utterance, utterance
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Bools, Floats

SPOKEN = ("s1", "neutral", "t6")  # a woman; voiced and unvoiced sounds, stops, a pause
GRIDS = {"mfcc39": (22_050, 512 / 22_050)}  # where a descriptor is meant for another one
TRUE_F0 = ("f0_hz", "f0_cc_hz", "f0_shs_hz", "f0_yin_hz")
SPECTRAL = ("formants", "formants_tracked", "formants_burg")  # drawn over a spectrogram

WIDTH, LEFT, RIGHT = 7.3, 0.72, 1.42  # inches of 72 points: 700 pixels in a browser; margins
TOP, GAP, BOTTOM = 0.22, 0.13, 0.42
WAVE = 0.62
INK, GREY, RULE, VOICED = "#1a1a1a", "#595959", "#d0d0d0", "#e8f1f8"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
PER = {"1": "", "1/s": "per s"}  # how a unit reads after a number
STYLE: Any = {  # matplotlib types each key; a literal of all of them has no common type
    "svg.fonttype": "none",
    "svg.hashsalt": "serfeat",
    "font.size": 9.5,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.xmargin": 0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 8.3,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.handletextpad": 0.6,
    "lines.linewidth": 1.3,
    "path.simplify": False,
    "image.interpolation": "none",
}


@dataclass(frozen=True)
class Scene:
    """What all pictures share: the utterance, and the voiced frames of our pitch."""

    spoken: Utterance
    voiced: Bools

    @property
    def seconds(self) -> float:
        """Length of the utterance."""
        return len(self.spoken.x) / self.spoken.sr

    def analysis(self, name: str) -> ShortTime:
        """The utterance on the grid that a descriptor is meant for."""
        x, sr, hop = self.spoken.x, self.spoken.sr, 0.010
        if name in GRIDS:
            import soxr

            sr, hop = GRIDS[name]
            x = soxr.resample(x, self.spoken.sr, sr, quality="VHQ")
        return ShortTime(x, sr, hop)


def scene() -> Scene:
    """Speak the utterance."""
    spoken = utterance(*SPOKEN)
    return Scene(spoken, pitch(ShortTime(spoken.x, spoken.sr)).voiced)


def runs(chosen: Bools) -> list[tuple[int, int]]:
    """First and last frame of every stretch of chosen frames."""
    steps = np.diff(np.concatenate([[False], chosen, [False]]).astype(int))
    pairs = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1, strict=True)
    return [(int(a), int(b)) for a, b in pairs]


def shade(ax: Axes, here: Scene) -> None:
    """Shade the voiced stretches."""
    for first, last in runs(here.voiced):
        ax.axvspan(first / 100 - 0.005, last / 100 + 0.005, color=VOICED, lw=0, zorder=0)


def draw_wave(ax: Axes, here: Scene) -> None:
    """The signal as an outline of 300 columns, the sounds above it."""
    shade(ax, here)
    pieces = np.array_split(here.spoken.x / np.abs(here.spoken.x).max(), 300)
    low, high = np.array([[p.min(), p.max()] for p in pieces]).T
    middles = (np.arange(300) + 0.5) / 300 * here.seconds
    ax.fill_between(middles, low, high, color=GREY, lw=0.6)
    for sound in here.spoken.truth.segments:
        if sound.phone != "_":
            middle = (sound.start + sound.end) / 2
            ax.text(middle, 1.1, sound.phone, ha="center", va="bottom", fontsize=9)
    ax.set_ylim(-1.1, 1.1)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def panels(d: Descriptor, values: Floats) -> list[list[int]]:
    """Columns that share an axis: of one unit, of one size, six at most; long numbered rows alone.

    Returns
    -------
    Lists of places in `d.columns`.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for k, (column, unit) in enumerate(zip(d.columns, d.units, strict=True)):
        stem = re.sub(r"_?\d+$", "", column)
        numbered = sum(re.fullmatch(rf"{stem}_\d+", c) is not None for c in d.columns)
        size = np.nanmax(np.abs(values[:, k])) if np.isfinite(values[:, k]).any() else 1.0
        kind: tuple[object, ...] = (unit, round(np.log10(max(size, 1e-9)) / 1.3))
        if re.fullmatch(r"[fb]\d_hz", column):
            kind = (column[0],)
        if numbered >= 6:
            kind = (stem,)
        groups.setdefault(kind, []).append(k)
    return list(groups.values())


def contours(ax: Axes, here: Scene, d: Descriptor, st: ShortTime, which: list[int]) -> None:
    """Lines over time, gaps where a value is NaN; what the synthesiser was told in grey."""
    values, times = d(st)[:, which], st.grid.times
    names = [d.columns[k] for k in which]
    dots = d.name in SPECTRAL and names[0].startswith("f")
    if dots:
        spectrogram(ax, here)
        truth = here.spoken.truth
        inside = [(s.start + s.end) / 2 for s in truth.segments]
        told = np.where([s.phone in "aeiou" for s in truth.segments], 1, np.nan)[:, None]
        told = told * truth.formants_hz[:, : min(len(names), 4)]
        label = ["truth (vowels)", *[None] * (told.shape[1] - 1)]
        ax.plot(inside, told, "o", mfc="none", mec=INK, ms=7, mew=0.9, label=label)
    elif d.units[which[0]] == "rad":
        spectrogram(ax, here, top=np.pi, hertz=8000)
    else:
        shade(ax, here)
    if names[0] in TRUE_F0:
        told_f0 = here.spoken.truth.f0_hz
        at = np.arange(len(told_f0)) / 100
        ax.plot(at, told_f0, color="#a0a0a0", lw=4, alpha=0.6, label="truth", zorder=1)
    for k, name in enumerate(names):
        colour, y = COLOURS[k % 6], values[:, k]
        if len(names) > 6:
            ax.plot(times, y, color=COLOURS[0], lw=1)
            continue
        if dots:
            # short lines, round at both ends: they take much less room in a file than markers
            across, up = (times[:, None] + [-0.001, 0.001, 0]).ravel(), np.repeat(y, 3)
            up[2::3] = np.nan
            ax.plot(
                across, up, color=colour, lw=2.6, solid_capstyle="round", snap=False, label=name
            )
            continue
        ax.plot(times, y, color=colour, ls=DASHES[k % 6] if len(names) > 1 else "-", label=name)
        alone = np.isfinite(y) & np.isnan(np.r_[np.nan, y[:-1]]) & np.isnan(np.r_[y[1:], np.nan])
        ax.plot(times[alone], y[alone], ".", color=colour, ms=3)
    unit = d.units[which[0]]
    ax.set_ylabel("" if unit == "1" else unit.replace(" re 27.5 Hz", "\nre 27.5 Hz"))
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), borderaxespad=0.4)
    else:
        stem = names[0].rpartition("_")[0]
        several = f"{stem}_k, k =\n1 ... {len(names)}" if len(names) > 1 else names[0]
        ax.text(1.015, 0.5, several, transform=ax.transAxes, va="center", fontsize=8.5)


def spectrogram(ax: Axes, here: Scene, *, top: float = 5500.0, hertz: float = 5500.0) -> None:
    """10 ms windows, 60 dB in steps of grey (few levels make a small file)."""
    st = ShortTime(here.spoken.x, here.spoken.sr)
    bins = round(hertz / st.sr * 256)
    level = 10 * np.log10(np.asarray(st.power(160, 256))[:, :bins] + 1e-12)
    level += 6 * np.log2(np.maximum(np.arange(bins), 2))  # 6 dB per octave, as in formant analysis
    level = 5 * np.round(np.clip(level - level.max(), -55, 0) / 5)
    extent = (-0.005, st.n_frames / 100 - 0.005, 0, top)
    ax.imshow(level.T, "Greys", origin="lower", aspect="auto", vmin=-55, vmax=40, extent=extent)
    ax.set_ylim(0, top)


def rows(ax: Axes, d: Descriptor, st: ShortTime, which: list[int]) -> None:
    """Numbered columns as an image; each as a z-score where their sizes are too different."""
    values = d(st)[:, which][:, :: -(-len(which) // 40)]  # of many, each fourth or so
    bounded = np.nanmin(values) >= 0 and np.nanmax(values) <= np.pi
    if not bounded:
        values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    first = int(re.search(r"\d+$", d.columns[which[0]])[0])  # type: ignore[index]
    end = first + len(which)
    half = st.hop / st.sr / 2
    image = ax.imshow(
        np.ma.masked_invalid(values.T),
        cmap="cividis" if bounded else "PuOr_r",
        origin="lower",
        aspect="auto",
        vmin=None if bounded else -3,
        vmax=None if bounded else 3,
        extent=(-half, st.n_frames * 2 * half - half, first - 0.5, end - 0.5),
    )
    ax.set_ylabel(re.sub(r"_?\d+$", "", d.columns[which[0]]) + "_k, k =")
    ax.locator_params(axis="y", integer=True)
    label = d.units[which[0]] if bounded else "z-score over the clip"
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.02, 0.0, 0.025, 1.0)))
    bar.outline.set_visible(False)
    bar.set_label("" if label == "1" else label)


def bars(ax: Axes, d: Descriptor, values: Floats) -> None:
    """A list of values; a bar is as long as its share of the largest of its unit."""
    units = [u.replace(" re 27.5 Hz", "") for u in d.units]
    for k, (value, unit) in enumerate(zip(values, units, strict=True)):
        alike = np.abs(values[[u == unit for u in units]])
        length = abs(value) / max(np.nanmax(alike), 1e-12) if np.isfinite(value) else 0.0
        ax.barh(k, length, height=0.62, color=COLOURS[0])
        shown = "undefined" if np.isnan(value) else f"{value:.3g} {PER.get(unit, unit)}"
        ax.text(length + 0.015, k, shown.replace("-", "\N{MINUS SIGN}"), va="center", fontsize=9)
    ax.set_yticks(range(len(values)), d.columns)
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)


def is_row(column: str) -> bool:
    """A numbered column such as ``mfcc_3``."""
    return re.search(r"_\d+$", column) is not None


def draw(d: Descriptor, here: Scene) -> str:
    """The picture of one descriptor, as SVG."""
    st = here.analysis(d.name)
    values = d(st)
    groups = [list(range(len(d.columns)))] if d.level == "clip" else panels(d, values)
    images = [len(g) >= 6 and is_row(d.columns[g[0]]) and d.units[g[0]] != "rad" for g in groups]
    heights = [1.9 if len(g) >= 6 else (1.5 if len(groups) == 1 else 0.95) for g in groups]
    if d.level == "clip":
        heights = [0.22 * len(d.columns)]
    elif d.name in SPECTRAL:
        heights[0] = 2.4
    figure, (top, *below) = stacked(heights, timed=d.level == "frame")
    draw_wave(top, here)
    for ax, which, image in zip(below, groups, images, strict=True):
        if d.level == "clip":
            bars(ax, d, values)
        elif image:
            rows(ax, d, st, which)
        else:
            contours(ax, here, d, st, which)
    timed = [top, *below] if d.level == "frame" else [top]
    for ax in timed:
        ax.set_xlim(0, here.seconds)
        ax.yaxis.set_label_coords(-0.1, 0.5)
        ax.tick_params(labelbottom=ax is timed[-1])
    timed[-1].set_xlabel("s", labelpad=0)
    return svg(figure)


def stacked(heights: list[float], *, timed: bool) -> tuple[Figure, list[Axes]]:
    """A figure with the strip of the signal and axes of so many inches below it.

    Where the axes below do not share its time (`timed`), they begin further right: names stand
    to the left of them.
    """
    between = GAP if timed else BOTTOM
    total = TOP + WAVE + sum(between + h for h in heights) + (BOTTOM if timed else 0.05)
    figure = Figure(figsize=(WIDTH, total))
    FigureCanvasSVG(figure)
    axes, y = [], total - TOP
    for k, height in enumerate([WAVE, *heights]):
        y -= height
        left = LEFT if timed or k == 0 else 2.95
        box = (left / WIDTH, y / total, (WIDTH - left - RIGHT) / WIDTH, height / total)
        axes.append(figure.add_axes(box))
        y -= between
    return figure, axes


def svg(figure: Figure) -> str:
    """Serialise, with numbers of at most two decimals and the reader's own font."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r" font-family: 'DejaVu Sans'[^;\"]*;?", "", text)
    text = text.replace("*{stroke-", "text{font-family: sans-serif} *{stroke-")
    text = re.sub(r' transform="rotate\(-0 [^"]*"|(?<=<g) id="[^"]*"', "", text)
    text = re.sub(r' (d|x|y|points)="[^"]*"', _shorter, text)
    return re.sub(r"\n\s*", "\n", text)


def _shorter(attribute: re.Match[str]) -> str:
    """Round the numbers of an attribute to a tenth of a point, and write them on one line."""
    rounded = re.sub(r"\d+\.\d+", lambda n: f"{float(n[0]):.1f}".removesuffix(".0"), attribute[0])
    return re.sub(r"\s*([MLz])\s*", r"\1", rounded.replace("\n", " "))


def draw_all(folder: Path) -> None:
    """Write the picture of every descriptor, and remove those of descriptors that are gone."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.svg"):
        if path.stem not in DESCRIPTORS:
            path.unlink()
    here = scene()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        for name, d in DESCRIPTORS.items():
            (folder / f"{name}.svg").write_text(draw(d, here), encoding="utf-8")
