"""How well the columns of serfeat88 agree with eGeMAPSv02's: makes docs/results/serfeat88.md.

    SERFEAT_CORPORA=... SERFEAT_ACCEPT_OPENSMILE_LICENCE=1 python bench/serfeat88.py \
        > docs/results/serfeat88.md

Needs EMO-DB and RAVDESS, openSMILE and its licence accepted. Both programs get the same samples
(16 kHz, mono, 16 bits). About two minutes of CPU time.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from serfeat.audio import load_audio
from serfeat.corpora import find_root, read_corpus
from serfeat.feature_sets import FEATURE_SETS
from serfeat.functionals import apply
from serfeat.lld import DESCRIPTORS, opensmile
from serfeat.manifest import Manifest
from serfeat.metrics import confusion, uar_of
from serfeat.serfeat88 import SERFEAT88
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import pitch
from serfeat.spectrum import moving_average
from serfeat.stats import bootstrap_over_groups
from serfeat.types import Floats

SR = 16_000
OURS, THEIRS = FEATURE_SETS["serfeat88"], FEATURE_SETS["egemaps"]
COSTS = [1e-3, 1e-2, 1e-1, 1.0]  # C of the SVM, chosen among the training speakers
LATE = 2  # frames by which openSMILE's voicing lies behind its spectra
SLOPES = ("rising_slope_mean", "rising_slope_std", "falling_slope_mean", "falling_slope_std")

INTRODUCTION = """\
# serfeat88: 88 columns with the meanings of eGeMAPSv02, and how well they agree

```sh
SERFEAT_CORPORA=<folder with emodb/ and ravdess/> SERFEAT_ACCEPT_OPENSMILE_LICENCE=1 \\
    python bench/serfeat88.py > docs/results/serfeat88.md
```

`serfeat88` is Apache-2.0; openSMILE, which computes eGeMAPSv02, may be used for research only.
Every fifth file of EMO-DB ({first}) and every fourteenth of RAVDESS ({second}), 16 kHz, mono, 16
bits, the same samples into both.

**Same**: loudness, spectral flux and MFCC 1-4 over all frames, sound level: one definition and one
setting. They differ by the two frames more that our grid has. **Method**: one quantity by two
methods: F0, its course and its segments, jitter, shimmer, formant frequencies, H1-A3, the alpha
ratio (whose sign is the other one in ours, turned here, and whose lower band begins at 0 Hz in
openSMILE's), loudness peaks; and spectral flux, MFCC and Hammarberg index over voiced or unvoiced
frames alone: these are other frames, and openSMILE smooths after it has chosen them, ours before.
Numbers may be compared where the table says that they agree: those of the values of F0 do; jitter,
formants and segments do so weakly, and the slopes of F0 do not. **Name**:
HNRdBACF (saturates near 10 dB), logRelF0-H1-H2 (the second over the third harmonic), the
amplitudes of formants (unvoiced frames count, as -201 dB), their bandwidths, and the spectral
slopes (the mean level leaks in): openSMILE's are other quantities than ours under a common name.
A model trained on eGeMAPS cannot be given serfeat88.

r is Pearson's and rho Spearman's correlation over the clips that both define; off is the median
over all clips of |ours / theirs - 1|, which means little where values lie near 0; the two medians
are over all clips. `cv` is the standard deviation over the mean (stddevNorm): for MFCC, slopes
and levels a clip whose mean is near 0 can decide r alone; read rho there.

## Column by column
"""
RECOGNITION = """
## Emotions from either set

The whole EMO-DB (535 clips, 7 emotions, chance 14.3), each of the 10 speakers held out in turn;
linear SVM, its C chosen from 0.001 to 1 among the training speakers; median imputation and
z-scores from the training speakers. Intervals: 95 %, bootstrap over the speakers.
"""


class Clips(NamedTuple):
    """Some clips of a corpus, and both sets of them.

    Attributes
    ----------
    files : n files of the corpus.
    ours, theirs : (n, 88).
    seconds : of CPU time that either set took; and of speech.
    """

    name: str
    files: list[Path]
    ours: Floats
    theirs: Floats
    seconds: tuple[float, float, float]


def samples(file: Path) -> Floats:
    """Read a file as both programs get it: on the steps of 16 bits, which openSMILE cuts to."""
    x = np.asarray(load_audio(file, sr=SR).x, dtype=np.float64)
    return np.clip(np.rint(x * 32768), -32768, 32767) / 32768


def clips_of(manifest: Manifest, step: int) -> Clips:
    """Compute both sets of every `step`-th file."""
    files = [manifest.path(f) for f in manifest.rows.index.get_level_values("file")][::step]
    rows: dict[str, list[Floats]] = {"ours": [], "theirs": []}
    took = {"ours": 0.0, "theirs": 0.0, "speech": 0.0}
    for i, file in enumerate(files):
        x = samples(file)
        took["speech"] += len(x) / SR
        for side, features in (("ours", OURS), ("theirs", THEIRS)):
            if i == 0:
                features.compute(x, "functionals")  # compiles, opens and warms up
            start = time.process_time()
            rows[side].append(features.compute(x, "functionals")[0])
            took[side] += time.process_time() - start
    print(f"{manifest.name}: {len(files)} clips", file=sys.stderr)
    ours, theirs = (np.array(rows[side], dtype=np.float64) for side in ("ours", "theirs"))
    seconds = took["ours"], took["theirs"], took["speech"]
    return Clips(manifest.name, files, ours, theirs, seconds)


def alike(a: Floats, b: Floats) -> tuple[int, float, float, float]:
    """Clips that both define, Pearson's r, Spearman's rho, median relative difference."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    r, rho = float(np.corrcoef(a, b)[0, 1]), float(spearmanr(a, b)[0])
    known = b != 0
    return len(a), r, rho, float(np.median(np.abs(a[known] / b[known] - 1)))


def table(first: Clips, second: Clips) -> pd.DataFrame:
    """One row per column, in eGeMAPS' order."""
    rows = []
    units = OURS.units("functionals")
    for k, (c, unit) in enumerate(zip(SERFEAT88.counterparts, units, strict=True)):
        row: dict[str, object] = {"egemaps": c.egemaps, "column": c.column, "unit": unit}
        for tag, clips in (("1", first), ("2", second)):
            found = alike(c.sign * clips.ours[:, k], clips.theirs[:, k])
            row |= {f"n{tag}": found[0], f"r{tag}": found[1], f"rho{tag}": found[2]}
        ours = np.concatenate([first.ours[:, k], second.ours[:, k]])
        theirs = np.concatenate([first.theirs[:, k], second.theirs[:, k]])
        row |= {"off": alike(c.sign * ours, theirs)[3], "relation": c.relation}
        rows.append(row | {"mine": np.nanmedian(ours), "their": np.nanmedian(theirs)})
    return pd.DataFrame(rows)


def show(frame: pd.DataFrame, first: Clips, second: Clips) -> None:
    """Print the table, and what it comes to kind by kind."""
    both = f"{first.name} r, rho | {second.name} r, rho"
    print(f"| eGeMAPSv02 | ours | unit | {both} | median: ours, theirs | off | kind |")
    print("|---|---|---|---:|---:|---:|---:|---|")
    for row in frame.itertuples():
        print(
            f"| {row.egemaps} | `{row.column}` | {row.unit} | {row.r1:.3f}, {row.rho1:.3f} | "
            f"{row.r2:.3f}, {row.rho2:.3f} | {short(row.mine)}, {short(row.their)} | "
            f"{percent(row.off)} | {row.relation} |"
        )
    print("\n| kind | columns | median r | median rho | r >= .95 in both | median off |")
    print("|---|---:|---:|---:|---:|---:|")
    variation = frame["column"].str.contains("__cv")
    for kind in ("same", "method", "name"):
        for cv, title in ((False, kind), (True, f"{kind}, cv")):
            part = frame[(frame["relation"] == kind) & (variation == cv)]
            r, rho = part[["r1", "r2"]].to_numpy(), part[["rho1", "rho2"]].to_numpy()
            print(
                f"| {title} | {len(part)} | {np.median(r):.3f} | {np.median(rho):.3f} | "
                f"{(r.min(axis=1) >= 0.95).sum()} | {percent(part['off'].median())} |"
            )


def short(value: float) -> str:
    """Three digits, no power of ten."""
    return np.format_float_positional(float(f"{value:.3g}"), trim="-")


def percent(value: float) -> str:
    """Two digits of a percentage, no power of ten."""
    return f"{100 * value:.2g} %" if value < 0.995 else f"{100 * value:.0f} %"


def why(clips: Clips) -> None:
    """Print where differences of formant levels and of the slopes of F0 come from."""
    low: list[bool] = []
    slopes = []
    for file in clips.files:
        words, values = opensmile.lld(samples(file), SR)
        contour = dict(zip(words, values.T, strict=True))
        f0 = contour["F0semitoneFrom27.5Hz_sma3nz"]
        low += list(contour["F1amplitudeLogRelF0_sma3nz"][f0 == 0] < -200)
        slopes.append(apply(f0[f0 > 0][:, None], 0.01, SLOPES))
    share = 100 * np.mean(low)
    print(
        f"* {share:.0f} % of openSMILE's unvoiced frames have -201 dB as F1's amplitude, and count."
    )
    found = [alike(np.array(slopes)[:, k], clips.theirs[:, 6 + k])[1] for k in range(4)]
    text = ", ".join(f"{r:.3f}" for r in found)
    print(f"* Our four F0 slopes, of openSMILE's own F0 contour: r {text}. It is F0 that differs.")


def voicing(clips: Clips) -> None:
    """Print how much closer voiced and unvoiced means come when our voicing is as late."""
    names = opensmile.columns("eGeMAPSv02", "functionals")
    columns = {"hammarbergIndex{}_sma3nz_amean": 9, "spectralFlux{}_sma3nz_amean": 5}
    found: dict[str, list[tuple[float, float]]] = {}
    for file in clips.files:
        st = ShortTime(samples(file), SR)
        voiced = pitch(st).voiced
        late = np.concatenate([voiced[LATE:], np.zeros(min(LATE, len(voiced)), dtype=bool)])
        contours = moving_average(DESCRIPTORS["spectral_20ms"](st), 3)
        for word, k in columns.items():
            for end, here, there in (("V", voiced, late), ("UV", ~voiced, ~late)):
                pair = np.nanmean(contours[here, k]), np.nanmean(contours[there, k])
                found.setdefault(word.format(end), []).append(pair)
    parts = []
    for name, pairs in found.items():
        theirs = clips.theirs[:, names.index(name)]
        (_, r, _, off), (_, r_late, _, off_late) = (alike(a, theirs) for a in np.array(pairs).T)
        parts.append(f"{name} r {r:.3f} -> {r_late:.3f}, off {percent(off)} -> {percent(off_late)}")
    print(f"* With our voicing taken {10 * LATE} ms late: {'; '.join(parts)}.")


def predict(x: Floats, emotions: Floats, speakers: Floats) -> Floats:
    """Predict every clip by a linear SVM of the other speakers, with C chosen among these."""
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    out = np.empty_like(emotions)
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        SVC(kernel="linear", class_weight="balanced"),
    )
    for train, test in GroupKFold(len(set(speakers))).split(x, emotions, speakers):
        search = GridSearchCV(
            model, {"svc__C": COSTS}, scoring="balanced_accuracy", cv=GroupKFold(5)
        )
        search.fit(x[train], emotions[train], groups=speakers[train])
        out[test] = search.predict(x[test])
    return out


def classify(clips: Clips, manifest: Manifest) -> None:
    """Print the recognition of emotions from either set, speakers held out."""
    emotions = manifest.rows["emotion"].to_numpy(dtype=str)
    speakers = manifest.rows["speaker"].to_numpy(dtype=str)
    labels = sorted(set(emotions))
    counts = {}
    for name, x in (("serfeat88", clips.ours), ("egemaps", clips.theirs)):
        guess = predict(x, emotions, speakers)
        counts[name] = np.array(
            [confusion(emotions[here], guess[here], labels)
             for here in (speakers == s for s in sorted(set(speakers)))]
        )  # fmt: skip
        low, high = bootstrap_over_groups(counts[name])
        uar = float(uar_of(counts[name].sum(axis=0)))
        print(f"* {name}: UAR {100 * uar:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    both = np.stack([counts["serfeat88"], counts["egemaps"]], axis=1)
    difference: Callable[[Floats], Floats] = lambda c: (  # noqa: E731
        uar_of(c[..., 0, :, :]) - uar_of(c[..., 1, :, :])
    )
    low, high = bootstrap_over_groups(both, statistic=difference, method="t")
    change = 100 * float(difference(both.sum(axis=0)))
    print(f"* difference: {change:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")


def main() -> None:
    """Print the report."""
    emodb, ravdess = (read_corpus(name, find_root(name)) for name in ("emodb", "ravdess"))
    whole, second = clips_of(emodb, 1), clips_of(ravdess, 14)
    first = whole._replace(files=whole.files[::5], ours=whole.ours[::5], theirs=whole.theirs[::5])
    print(INTRODUCTION.format(first=len(first.files), second=len(second.files)))
    show(table(first, second), first, second)
    print(f"\n## Where the differences come from\n\nMeasured on the {len(first.files)} files.\n")
    why(first)
    voicing(first)
    print(RECOGNITION)
    classify(whole, emodb)
    ours, theirs, speech = whole.seconds
    packages = ("serfeat", "opensmile", "numpy", "scipy", "numba", "scikit-learn")
    print(
        f"\n## Time\n\nSamples to 88 numbers, the {speech:.0f} s of EMO-DB, taking turns, one "
        f"thread of 2 {platform.machine().replace('_', '-')} cores: {speech / ours:.0f} times real "
        f"time, openSMILE {speech / theirs:.0f} (CPU time; where other work shares the cores, as "
        f"here, the ratio counts).\n\nPython {platform.python_version()}, "
        f"{', '.join(f'{p} {version(p)}' for p in packages)}."
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
