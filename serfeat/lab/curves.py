"""The curves of the Sound view: our descriptors under its sliders, and other programs beside them.

Conventions
-----------
A curve here is a descriptor of `serfeat.lld` with settings: the numbers are those of a table of
features made with the same settings. A recording of up to `WHOLE` seconds is always analysed whole;
of a longer one only what is looked at, with a margin, knowing the mean and the peak of the whole
(the path of the pitch then sees its stretch only, as in `serfeat.features`).

Other programs have the settings of their adapters (`serfeat.lld.backends`), whatever the sliders
say: their source line says which.

Contents
--------
`Settings`   : what the sliders say.        `SLIDERS` : their limits, units, and meaning.
`CURVES`     : what can be drawn.           `curves`  : draws it; runs in a worker.
`sources_of` : who can compute a curve, and why not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from serfeat.errors import SerfeatError
from serfeat.lab.answers import LabError
from serfeat.lab.sounds import Recording
from serfeat.lld import DESCRIPTORS
from serfeat.lld.backends import BACKENDS, DISTRIBUTIONS, require
from serfeat.lld.opensmile import require_consent
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.vad import three_way

__all__ = [
    "CURVES",
    "LONGEST",
    "OURS",
    "SLIDERS",
    "WHOLE",
    "Curve",
    "Settings",
    "Slider",
    "curves",
    "sources_of",
]

OURS = "serfeat"
WHOLE = 30.0  # s: a recording up to here is analysed whole
LONGEST = 60.0  # s of a longer one that are analysed at once
MARGIN = 0.5  # s around a stretch, as wide as the widest analysis window


@dataclass(frozen=True)
class Slider:
    """One setting that the page lets a user move.

    Parameters
    ----------
    title, unit : for people.
    low, high, step, default : in `unit`.
    scale : factor from `unit` to the unit of the library (ms to s: 1e-3).
    summary : one line: what it does to the picture.
    """

    title: str
    unit: str
    low: float
    high: float
    step: float
    default: float
    summary: str
    scale: float = 1.0


SLIDERS: dict[str, Slider] = {
    "window": Slider(
        "Window", "ms", 5, 100, 1, 25,
        "short sees when, long sees which frequency", 1e-3,
    ),
    "hop": Slider("Hop", "ms", 2, 20, 1, 10, "time from frame to frame", 1e-3),
    "floor": Slider("F0 floor", "Hz", 40, 300, 5, 75, "lower than this is not looked for"),
    "ceiling": Slider("F0 ceiling", "Hz", 150, 1000, 10, 600, "higher than this is not looked for"),
    "order": Slider(
        "LPC order", "poles", 4, 20, 2, 10,
        "two poles per formant: too few merge formants, too many invent some",
    ),
    "top": Slider(
        "Formant ceiling", "Hz", 3500, 8000, 100, 5500,
        "top of the analysed band: about 5000 for men, 5500 for women, 8000 for children",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What the sliders say, in the library's units.

    Parameters
    ----------
    window, hop : s.
    floor, ceiling : Hz, of F0.
    order : poles of the linear prediction below `top`.
    top : Hz.
    """

    window: float = 0.025
    hop: float = 0.010
    floor: float = 75.0
    ceiling: float = 600.0
    order: int = 10
    top: float = 5500.0

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Settings:
        """Read settings from the parameters of an address; what is missing has its default.

        Raises
        ------
        LabError : 422, no number or out of range.
        """
        found: dict[str, Any] = {}
        for name, slider in SLIDERS.items():
            if name not in words:
                continue
            try:
                value = float(words[name])
            except ValueError:
                value = float("nan")
            if not slider.low <= value <= slider.high:
                raise LabError(
                    422,
                    f"{name} is {words[name]!r}, expected {slider.low:g} to {slider.high:g} "
                    f"{slider.unit}",
                    code="out-of-range",
                )
            found[name] = int(value) if name == "order" else value * slider.scale
        made = cls(**found)
        if made.floor >= made.ceiling:
            raise LabError(
                422,
                f"the floor of F0 ({made.floor:g} Hz) is not below its ceiling "
                f"({made.ceiling:g} Hz)",
                code="out-of-range",
            )
        return made


Parameters = Callable[[Settings], dict[str, Any]]


@dataclass(frozen=True)
class Curve:
    """Something that the Sound view draws along time.

    Parameters
    ----------
    title : for people.
    descriptor : name in `serfeat.lld.DESCRIPTORS` and of the backends.
    columns : which of its columns are drawn.
    sliders : which settings it depends on, beside the hop.
    parameters : settings -> parameters of our descriptor.
    methods : other descriptors of ours that measure the same, with their own column.
    """

    title: str
    descriptor: str
    columns: tuple[str, ...]
    sliders: tuple[str, ...] = ()
    parameters: Parameters = lambda _: {}
    methods: tuple[str, ...] = ()


def _pitch(s: Settings) -> dict[str, Any]:
    return {"floor": s.floor, "ceiling": s.ceiling}


def _length(s: Settings) -> dict[str, Any]:
    return {"length": s.window}


def _resonances(s: Settings) -> dict[str, Any]:
    return {"ceiling": s.top, "max_formants": s.order / 2, "length": s.window}


def _cepstrum(s: Settings) -> dict[str, Any]:
    convention = DESCRIPTORS["mfcc"].params["convention"]
    return {"convention": replace(convention, length=s.window)}


CURVES: dict[str, Curve] = {
    "f0": Curve("F0", "f0", ("f0_hz",), ("floor", "ceiling"), _pitch,
                methods=("f0_cc", "f0_shs", "f0_yin")),
    "formants": Curve("Formants", "formants", ("f1_hz", "f2_hz", "f3_hz"),
                      ("window", "order", "top"), _resonances, methods=("formants_burg",)),
    "energy": Curve("Energy", "energy", ("rms_db",), ("window",), _length),
    "zcr": Curve("Zero crossings", "zcr", ("zcr_per_s",), ("window",), _length),
    "hnr": Curve("HNR", "hnr", ("hnr_db",), ("floor", "ceiling"), _pitch, methods=("hnr_ac",)),
    "teo": Curve("TEO", "teo", ("teo_db",), ("window",), _length),
    "mfcc": Curve("MFCC", "mfcc", tuple(f"mfcc_{k}" for k in range(1, 14)), ("window",), _cepstrum),
}  # fmt: skip


def sources_of(curve: Curve) -> list[dict[str, Any]]:
    """Who can compute a curve: ours first, then our other methods, then other programs.

    Returns
    -------
    One mapping each: source (the word to ask for), columns, units, summary, words (its source),
    licence, settings ("sliders" or "fixed"), missing (why it cannot be used here; empty: it can).
    """
    found = []
    for source in (OURS, *curve.methods, *BACKENDS):
        descriptor = _descriptor(curve, source)
        if descriptor is None:
            continue
        columns = _columns(curve, descriptor)
        missing = _missing(source) if source in BACKENDS else ""
        units = dict(zip(descriptor.columns, descriptor.units, strict=True))
        found.append(
            {
                "source": source,
                "columns": columns,
                "units": [units[c] for c in columns],
                "summary": descriptor.summary,
                "words": descriptor.source,
                "undefined": descriptor.undefined,
                "licence": descriptor.licence,
                "settings": "sliders" if source == OURS else "fixed",
                "missing": missing,
            }
        )
    return found


def _missing(backend: str) -> str:
    """Why a program cannot be used here, without loading it: that takes a second."""
    try:
        version(DISTRIBUTIONS[backend])
    except PackageNotFoundError:
        return f"the package {DISTRIBUTIONS[backend]} is not installed"
    try:
        if backend == "opensmile":
            require_consent()
    except SerfeatError as error:
        return str(error)
    return ""


def _descriptor(curve: Curve, source: str) -> Descriptor | None:
    if source == OURS:
        return DESCRIPTORS[curve.descriptor]
    if source in curve.methods:
        return DESCRIPTORS[source]
    return BACKENDS.get(source, {}).get(curve.descriptor)


def _columns(curve: Curve, descriptor: Descriptor) -> tuple[str, ...]:
    """Those of a descriptor that are drawn: of the same names, or the first of another method."""
    same = tuple(c for c in curve.columns if c in descriptor.columns)
    return same or descriptor.columns[: len(curve.columns)]


def curves(
    recording: Recording,
    names: Sequence[str],
    source: str,
    settings: Settings,
    start: float,
    end: float,
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """Compute curves of a stretch of a recording; runs in a worker.

    Parameters
    ----------
    names : keys of `CURVES`, or ``"voicing"``: silence 0, unvoiced 1, voiced 2.
    source : `OURS`, a backend, or one of our other methods.
    start, end : s, what is looked at.

    Returns
    -------
    name -> (frames, columns) float32, NaN where undefined; and what is known: start (s of the
    first frame), step (s), columns (per name), problems (name -> why there is no such curve).
    """
    st, first, last, origin = _analysis(recording, settings, start, end)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    columns: dict[str, Sequence[str]] = {}
    problems: dict[str, str] = {}
    for name in names:
        try:
            values, columns[name] = _one(st, name, source, settings)
            arrays[name] = values[first:last]
        except SerfeatError as error:
            problems[name] = str(error)
    step = st.hop / st.sr
    about = {"start": origin + first * step, "step": step, "columns": columns}
    return arrays, about | {"problems": problems, "source": source, "settings": asdict(settings)}


def _one(
    st: ShortTime, name: str, source: str, settings: Settings
) -> tuple[np.ndarray[Any, Any], Sequence[str]]:
    """(n_frames, columns) of one curve, and the names of the columns."""
    if name == "voicing":
        codes = three_way(st, length=settings.window, **_pitch(settings))
        return codes[:, None], ("voicing",)
    curve = CURVES[name]
    descriptor = _descriptor(curve, source)
    if descriptor is None:
        raise LabError(404, f"{source} has no {curve.title}", code="no-such-curve")
    if source == OURS:
        descriptor = replace(descriptor, params={**descriptor.params, **curve.parameters(settings)})
    elif source in BACKENDS:
        require(source)
    columns = _columns(curve, descriptor)
    places = [descriptor.columns.index(c) for c in columns]
    return descriptor(st)[:, places].astype(np.float32), columns


def _analysis(
    recording: Recording, settings: Settings, start: float, end: float
) -> tuple[ShortTime, int, int, float]:
    """The analysis, the frames of it that are asked for, and the time of its first frame (s)."""
    x, sr = recording.x, recording.sr
    hop = round(settings.hop * sr)
    if recording.duration <= WHOLE:
        st = ShortTime(x, sr, settings.hop)
        return st, 0, st.n_frames, 0.0
    if end - start > LONGEST:
        raise LabError(
            422, f"curves are drawn for {LONGEST:g} s at most", code="too-wide", fix="zoom in"
        )
    n_frames = 1 + len(x) // hop
    first = min(max(0, int(start * sr) // hop), n_frames - 1)
    last = min(max(first + 1, 2 + int(end * sr) // hop), n_frames)
    begin = max(0, first - round(MARGIN * sr) // hop)
    part = np.asarray(x[begin * hop : last * hop + round(MARGIN * sr)], dtype=np.float64)
    st = ShortTime(part, sr, settings.hop, mean=recording.mean, peak=recording.peak)
    return st, first - begin, last - begin, begin * hop / sr
