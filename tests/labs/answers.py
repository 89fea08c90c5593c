"""The teacher's key: a sample solution of every question, and answers that students give.

Each is an expression in the namespace of its lab, as a student would write it after ``answer_n =``.
`RIGHT` holds one solution to a question; `WRONG` the plausible wrong ones, most of which a
misconception stands behind. This file may be withheld: nothing in the labs needs it.
"""

from __future__ import annotations

__all__ = ["RIGHT", "WRONG"]

_LAG = "np.argmax(match[int(sr / 600) : int(sr / 75)])"
_RIDDLE = "np.nanmedian(lld.formants(riddle.x, sr), axis=0)"
_NEAREST = "min(VOWELS, key=lambda v: np.hypot(*({riddle}[:2] - np.array(VOWELS[v][:2]))))"
_SVM = "predictions[predictions['entry'] == 'svm']"
_HIT = "np.mean(predictions['truth'] == predictions['prediction'])"
_EACH = f"{_SVM}.assign(hit=lambda t: t['truth'] == t['prediction']).groupby('speaker')['hit']"
_RECALLS = f"{_SVM}.assign(hit=lambda t: t['truth'] == t['prediction']).groupby('truth')['hit']"
_COUNTS = "confusion(svm['truth'], svm['prediction'], labels)"
_OFF = f"{_COUNTS} * (1 - np.eye(4, dtype=int))"
_SCORES = "Q @ K.T / np.sqrt(8)"
_EXP = f"np.exp({_SCORES})"
_SOFTMAX = f"{_EXP} / {_EXP}.sum(axis=1, keepdims=True)"
_BARE = "np.exp(Q @ K.T) / np.exp(Q @ K.T).sum(axis=1, keepdims=True)"
_F0 = "frames['f0_hz'].groupby('file')"
_ORDER = "table.index.get_level_values('file')"
_POLES = (
    "roots[(np.angle(roots) * sr / 2 / np.pi > 300) & (np.angle(roots) * sr / 2 / np.pi < 900)]"
)
_POLE = f"max({_POLES}, key=abs)"
_FACTOR = "np.sqrt(np.mean(clean**2) / np.mean(hiss**2))"

RIGHT: dict[str, str] = {
    "01.1": "len(x) / sr",
    "01.2": "1000 / spoken.truth.f0_hz[round(middle / 0.010)] * 1.05",
    "01.3": "1 + len(x) // hop",
    "01.4": "50 * hop - length // 2",
    "01.5": "'c'",
    "02.1": f"sr / ({_LAG} + int(sr / 600))",
    "02.2": "np.nanmean(f0['neutral'])",
    "02.3": "12 * np.log2(np.nanmedian(f0['anger']) / np.nanmedian(f0['neutral']))",
    "02.4": "np.isfinite(f0['neutral']).mean()",
    "02.5": "'b'",
    "03.1": f"{_RIDDLE}[0]",
    "03.2": _NEAREST.format(riddle=_RIDDLE),
    "03.3": "350 / (4 * 0.12)",
    "03.4": "max(abs(f - 730) for f in first)",
    "03.5": "'b'",
    "04.1": "np.convolve(frame, a)[:480]",
    "04.2": "6",
    "04.3": "'a'",
    "04.4": "10 * np.log10(np.sum(frame**2) / error)",
    "04.5": f"np.angle({_POLE}) / (2 * np.pi) * sr",
    "05.1": "(hz[bank.argmax(axis=1)] < 1000).sum()",
    "05.2": "dct_ortho(np.log(bands[i]), 13)",
    "05.3": "26 * np.log(0.25) / np.sqrt(26)",
    "05.4": "'b'",
    "05.5": "10 * np.log10(equal_loudness(1000) / equal_loudness(100))",
    "06.1": "0.1**2 * np.sin(2 * np.pi * 2000 / 16000) ** 2",
    "06.2": "10 * np.log10(lld.teager(high)[800] / lld.teager(low)[800])",
    "06.3": "100 * np.abs(np.diff(periods)).mean() / periods.mean()",
    "06.4": "10.0",
    "06.5": "'B '",
    "07.1": f"{_F0}.mean().loc[{_ORDER}]",
    "07.2": f"{_F0}.std(ddof=0).loc[{_ORDER}]",
    "07.3": "535 - 533",
    "07.4": "1",
    "07.5": "'median'",
    "08.1": "'gmm'",
    "08.2": "1.0",
    "08.3": "uar(y[test], scaled, labels) - uar(y[test], plain, labels)",
    "08.4": "np.mean(np.diag(counts) / counts.sum(axis=1))",
    "09.1": "easy.mean() - honest.mean()",
    "09.2": "np.mean([np.isin(speaker[f.test], speaker[f.train]).mean() for f in random_folds])",
    "09.3": "2 / 5",
    "09.4": "curves.max(axis=1).mean() - curves[:, -1].mean()",
    "09.5": "'c'",
    "10.1": "1 + 2 * sum(2**j for j in range(6))",
    "10.2": "126 * HOP",
    "10.3": "uar(y[test], guess, labels)",
    "10.4": "0.5",
    "10.5": "of_frames.mean(axis=0)",
    "11.1": "np.abs(masked - masked[0]).max()",
    "11.2": "np.abs(plain - plain[0]).max()",
    "11.3": _SOFTMAX,
    "11.4": f"({_SOFTMAX}) @ V",
    "11.5": "'b'",
    "12.1": f"{_FACTOR} / 10 ** (6 / 20)",
    "12.2": "10 * np.log10(np.sum(clean**2) / np.sum((clean - denoise(noisy(6), sr)) ** 2))",
    "12.3": "max(away, key=lambda n: away[n][2])",
    "12.4": "max(back, key=lambda n: back[n][2])",
    "12.5": "'b'",
    "13.1": f"{_RECALLS}.mean().mean()",
    "13.2": f"{_EACH}.mean().idxmin()",
    "13.3": "sum(g.low > 0 or g.high < 0 for g in gaps)",
    "13.4": "[0.03, 0.06, 0.06]",
    "13.5": f"'>'.join(labels[k] for k in np.unravel_index(({_OFF}).argmax(), (4, 4)))",
}

WRONG: dict[str, tuple[str, ...]] = {
    "01.1": ("len(x)", "st.n_frames * 0.010", "sr / len(x)", "1000 * len(x) / sr"),
    "01.2": ("spoken.truth.f0_hz[round(middle / 0.010)]", "0.5", "20.0"),
    "01.3": ("len(x) // hop", "1 + (len(x) - length) // hop", "len(x)"),
    "01.4": ("50 * hop", "50 * hop + length // 2", "50 * length"),
    "01.5": ("'a'", "'b'", "40"),
    "02.1": (f"sr / {_LAG}", f"{_LAG} + int(sr / 600)", f"2 * sr / ({_LAG} + int(sr / 600))"),
    "02.2": ("np.nan_to_num(f0['neutral']).mean()", "f0['neutral'].mean()"),
    "02.3": (
        "np.nanmedian(f0['anger']) - np.nanmedian(f0['neutral'])",
        "np.log2(np.nanmedian(f0['anger']) / np.nanmedian(f0['neutral']))",
        "12 * np.log2(np.nanmedian(f0['neutral']) / np.nanmedian(f0['anger']))",
    ),
    "02.4": ("np.isnan(f0['neutral']).mean()", "100 * np.isfinite(f0['neutral']).mean()"),
    "02.5": ("'a'", "'c'"),
    "03.1": (f"{_RIDDLE}[1]", f"{_RIDDLE}[3]", "np.nanmedian(lld.f0(riddle.x, sr))"),
    "03.2": ("'y'", "next(v for v in 'aeiou' if v != (" + _NEAREST.format(riddle=_RIDDLE) + "))"),
    "03.3": ("350 / (2 * 0.12)", "350 / (4 * 12)", "350 / 0.12"),
    "03.4": ("np.mean(np.abs(np.array(first) - 730))", "max(first)"),
    "03.5": ("'a'", "'c'"),
    "04.1": (
        "np.convolve(frame, np.r_[1, -a[1:]])[:480]",
        "frame - np.convolve(frame, a)[:480]",
        "np.convolve(frame, a, 'same')",
        "np.convolve(frame, a)",
        "frame",
    ),
    "04.2": ("12", "24"),
    "04.3": ("'b'", "'c'"),
    "04.4": ("20 * np.log10(np.sum(frame**2) / error)", "np.sum(frame**2) / error"),
    "04.5": (f"np.angle({_POLE})", f"np.angle({_POLE}) * sr"),
    "05.1": ("26 // 8", "(bank.argmax(axis=1) < 1000).sum()"),
    "05.2": ("dct_ortho(bands[i], 13)", "np.log(bands[i])[:13]", "dct_ortho(np.log(bands[i]))"),
    "05.3": ("np.sqrt(26) * np.log(0.5)", "np.log(0.25)", "26 * np.log(0.25)", "-6.02"),
    "05.4": ("'a'", "'c'"),
    "05.5": ("20 * np.log10(equal_loudness(1000) / equal_loudness(100))",),
    "06.1": ("0.01 * (np.pi / 4) ** 2", "0.1 * 0.5", "0.1**2 / 2 * 2"),
    "06.2": ("20 * np.log10(4)", "20 * np.log10(lld.teager(high)[800] / lld.teager(low)[800])"),
    "06.3": (
        "100 * periods.std() / periods.mean()",
        "np.abs(np.diff(periods)).mean()",
        "np.abs(np.diff(periods)).mean() / periods.mean()",
    ),
    "06.4": ("20.0", "-10.0", "0.1", "10**0.5"),
    "06.5": ("'a'", "'c'"),
    "07.1": (
        f"frames['f0_hz'].fillna(0).groupby('file').mean().loc[{_ORDER}]",
        f"{_F0}.median().loc[{_ORDER}]",
        "frames['f0_hz'].mean()",
    ),
    "07.2": (f"{_F0}.std().loc[{_ORDER}]", f"{_F0}.var(ddof=0).loc[{_ORDER}]"),
    "07.3": ("0", "533"),
    "07.4": ("0", "12"),
    "07.5": ("'mean'", "'std'"),
    "08.1": ("'knn'", "'svm'", "'xgb'"),
    "08.2": ("0.25", "0.7"),
    "08.3": ("uar(y[test], scaled, labels)", "0.0"),
    "08.4": (
        "np.trace(counts) / counts.sum()",
        "np.mean(np.diag(counts) / counts.sum(axis=0))",
    ),
    "09.1": ("easy.mean()", "easy.mean() - 0.5", "honest.mean() - easy.mean()"),
    "09.2": ("0.0", "0.5"),
    "09.3": ("0.5", "0.6", "3 / 6"),
    "09.4": ("curves.max() - curves[:, -1].mean()", "curves.max(axis=1).mean()", "0.0"),
    "09.5": ("'a'", "'b'"),
    "10.1": ("64", "126", "255"),
    "10.2": ("1.26", "63 * HOP"),
    "10.3": ("1.0", "0.25"),
    "10.4": ("0.0", "1.0"),
    "10.5": ("of_frames.sum(axis=0)", "of_frames[-1]", "of_frames.max(axis=0)"),
    "11.1": ("np.abs(plain - plain[0]).max()",),
    "11.2": ("0.0", "np.ptp(plain)"),
    "11.3": (f"{_EXP} / {_EXP}.sum(axis=0, keepdims=True)", _BARE, _SCORES),
    "11.4": (f"({_SOFTMAX}) @ K", f"({_BARE}) @ V"),
    "11.5": ("'a'", "'c'"),
    "12.1": (f"{_FACTOR} / 10 ** (6 / 10)", f"{_FACTOR} * 10 ** (6 / 20)", _FACTOR),
    "12.2": (
        "6.0",
        "20 * np.log10(np.sum(clean**2) / np.sum((clean - denoise(noisy(6), sr)) ** 2))",
    ),
    "12.3": ("min(away, key=lambda n: away[n][2])", "'noise'"),
    "12.4": ("min(back, key=lambda n: back[n][2])",),
    "12.5": ("'a'", "'c'"),
    "13.1": (_HIT, "1.0"),
    "13.2": (f"{_EACH}.mean().idxmax()",),
    "13.3": ("3", "sum(g.difference > 0 for g in gaps)"),
    "13.4": ("[0.03, 0.12, 0.09]", "[0.03, 0.04, 0.06]", "[0.01, 0.04, 0.03]"),
    "13.5": (
        f"'>'.join(labels[k] for k in np.unravel_index(({_OFF}).T.argmax(), (4, 4)))",
        "'anger>neutral'",
    ),
}
