"""How right the extractors are: the figures of docs/results/accuracy.md, measured.

    SERFEAT_CORPORA=... python bench/accuracy.py > docs/results/accuracy.md    all sections
    SERFEAT_CORPORA=... python bench/accuracy.py Formants                      one of them

Prints Markdown. Every row compares with a truth that is known by construction, or with an
independent program on real speech (EMO-DB; without it those rows say that they were not measured).
The tests hold the same quantities on smaller samples; this takes about seven minutes. What is
measured, and how, stands in bench/measures/.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))
from measures import spectra, voice
from measures.rows import Row

from serfeat.errors import SerfeatError

Measure = Callable[[], Iterator[Row]]
SECTIONS: dict[str, tuple[Measure, ...]] = {
    "Pitch": (voice.pitch_on_emodb, voice.pitch_of_known),
    "Formants": (voice.formants_on_emodb, voice.formants_of_vowels),
    "Voice quality": (
        *(voice.harmonicity, voice.perturbation, voice.cepstral_peak),
        voice.voice_quality_on_emodb,
    ),
    "Cepstra and linear prediction": (spectra.cepstra, spectra.linear_prediction),
    "Teager energy": (spectra.teager_energy, spectra.auto_env),
    "Level and spectrum": (spectra.loudness, spectra.intensity, spectra.beside_librosa),
    "Denoising": (spectra.suppression_gains,),
}
NOTES = {
    "Formants": "What Praat has against itself 5 ms later says how fast formants move, and how "
    "often a pole is lost or found between two frames. Half a sample matters too: through the "
    "backend `praat`, whose frames lie 31 us later, the medians of `formants_burg` are 0.36, 1.0 "
    "and 1.3 Hz.",
    "Voice quality": "On real speech our HNR is lower than Praat's because Praat looks for the "
    "best of all lags; jitter and shimmer hang on the few odd periods at the edges of voiced "
    "parts, which move with the frames.",
    "Cepstra and linear prediction": "openSMILE and Kaldi compute in single precision: beside "
    "itself, on a recording three times as loud (what that changes for us taken off), each differs "
    "by more than it does from us. A "
    "single-precision FFT alone moves our own coefficients on real speech as far as Kaldi's are "
    "away, and a good third as far as openSMILE's PLP of order 5 are. Without its white noise, in "
    "the worst frame of `lpc` (condition number 8e6), our solution and SciPy's are both about "
    "1e-8 off the exact one.",
}
HEAD = """| quantity | reference | to reach | reached | met | on what |
|---|---|---|---|---|---|"""
PROGRAMS = (
    *("serfeat", "numpy", "scipy", "numba", "praat-parselmouth", "librosa", "opensmile"),
    "kaldi-native-fbank",
)
OPENING = """A difference is absolute unless it says relative; "the worst" is the largest of all
frames, columns or signals that are named. Praat's frames are laid on ours, to half a sample, and
nothing is interpolated. Where nothing was promised, the figure stands for information."""


def measured(measures: Iterable[Measure]) -> Iterator[Row]:
    """The rows; of what cannot be measured here, a row that says why."""
    for measure in measures:
        try:
            yield from measure()
        except (SerfeatError, ImportError) as error:
            what, why = measure.__name__.replace("_", " "), str(error).splitlines()[0]
            yield Row(what, "", "", f"not measured: {why}", None, "")


def line(row: Row) -> str:
    """One line of Markdown."""
    verdict = {True: "yes", False: "**no**", None: ""}[row.met]
    return "| " + " | ".join((*row[:4], verdict, row.on)) + " |"


def report(titles: Iterable[str]) -> str:
    """The document."""
    parts, rows = [], []
    for title in titles:
        here = list(measured(SECTIONS[title]))
        rows += here
        parts += [f"## {title}", f"`python bench/accuracy.py '{title}'`"]
        parts += ["\n".join([HEAD, *map(line, here)])]
        parts += [NOTES[title]] if title in NOTES else []
        print(title, "done", file=sys.stderr)
    promised = [row for row in rows if row.met is not None]
    verdict = f"**{sum(bool(r.met) for r in promised)} of {len(promised)} figures are reached.**"
    if missed := [
        f"- {r.quantity}: {r.reached}, not {r.goal} ({r.on})" for r in promised if not r.met
    ]:
        verdict += " Not reached:\n\n" + "\n".join(missed)
    versions = ", ".join(f"{p} {version(p)}" for p in PROGRAMS)
    return "\n\n".join(
        (
            "# Accuracy: the extractors beside the truth and beside other programs",
            verdict,
            "```sh\nSERFEAT_CORPORA=<folder with emodb/> python bench/accuracy.py\n```",
            OPENING,
            f"{versions}; Python {platform.python_version()}; 2 x86-64 cores, one thread.",
            *parts,
        )
    )


def main() -> None:
    """Print the document, or the sections that were asked for."""
    print(report(sys.argv[1:] or SECTIONS))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
