"""Words that the shell completes: ``serfeat --install-completion`` once, then the tab key.

A shell waits for every answer, so nothing heavy is loaded here: the words of the code's tables are
written down in `WORDS`, and a test holds them equal to the tables. Corpora and recipes are files,
and are looked up.

Each function takes what is typed so far (and typer's context, where earlier words matter) and
returns the words that go on with it; where there is none, the shell offers files.

Contents
--------
`WORDS`                      : list -> its words.
`one_of`, `list_of`          : a word of a list; of several with commas between.
`corpora`, `recipes`, `entries`, `settings` : what is looked up.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

__all__ = ["WORDS", "corpora", "entries", "list_of", "one_of", "recipes", "settings"]

_WRITTEN = {
    "lists": "descriptors features functionals models protocols corpora formats",
    "features": (
        "prosody cepstral classic full mfcc_deltas timnet39 waveform dellaert egemaps gemaps "
        "compare2016 is09 is13 serfeat88"
    ),
    "descriptors": (
        "f0 f0_two_pass f0_cc f0_shs f0_yin pitch_spline zcr energy intensity speech_rate "
        "loudness loudness_peaks loudness_20ms sound_level duration formants formants_by_sex "
        "formants_tracked formants_burg mfcc mfcc39 mfcc_20ms mfcc_htk mfcc_kaldi mfcc_librosa "
        "lpc lpc_covariance lpc_burg lpcc lsf plp plp_hermansky rasta_plp plp_erb plp_erb_sqrt "
        "plp_erb_log teo desa teo_cb teo_fm_var teo_mfcc hnr hnr_ac jitter shimmer cycles cpp "
        "cpps spectral spectral_20ms harmonics samples"
    ),
    "functionals": (
        "mean std cv min max range p05 p20 p25 p50 p75 p80 p95 range_p20_p80 iqr skewness "
        "kurtosis above_mean above_25 above_50 above_75 above_90 slope line_error line_r2 "
        "centroid min_place max_place rise fall mean_abs_delta zero_crossing_rate "
        "mean_crossing_rate onset_rate rising_slope_mean rising_slope_std falling_slope_mean "
        "falling_slope_std peak_rate peak_distance defined run_rate run_mean run_std gap_mean "
        "gap_std"
    ),
    "models": (
        "knn knn_dellaert bayes mvss gmm gmm_ubm svm xgb ridge mlp dbn rnn lstm gru cnn cnn1d "
        "parallel_cnn dcrn transformer timnet am_resnet amrwc layer_weights"
    ),
    "protocols": (
        "leave_one_speaker_out speaker_kfold held_out_speakers leave_one_session_out "
        "leave_one_text_out text_kfold speaker_and_text within_corpus leave_one_corpus_out "
        "cross_corpus leave_one_language_out predefined predefined_folds random_kfold serab "
        "emobox timnet_paper amrwc compare_challenge"
    ),
    "export formats": (
        "auto arff arff-numeric audformat csv csv-opensmile csv-spreadsheet htk huggingface "
        "kaldi libsvm libsvm-xgboost mat netcdf npz parquet"
    ),
    "import formats": "auto arff audformat-csv opensmile-csv audformat emobox nemo nkululeko",
    "backends": "praat librosa opensmile",
    "preparations": "mmse log_mmse madd",
    "detectors": "three_way sohn silero",
    "engines": "processes dask",
    "levels": "functionals lld",
    "speech": "source-filter praat",
    "comparisons": "quick full head",
    "places": "corpus folder:1 folder:2 name:1 name:2 name:3 name:-1 column: one none",
}
WORDS: dict[str, tuple[str, ...]] = {name: tuple(text.split()) for name, text in _WRITTEN.items()}


def _going_on(known: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in known if word.startswith(incomplete)]


def one_of(name: str) -> Callable[[str], list[str]]:
    """Complete one word of a list of `WORDS`."""

    def complete(incomplete: str) -> list[str]:
        return _going_on(WORDS[name], incomplete)

    return complete


def list_of(*names: str) -> Callable[[str], list[str]]:
    """Complete the last of several words with commas between them."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        known = [word for name in names for word in WORDS[name]]
        given = before.split(",")
        return [f"{before}{comma}{w}" for w in _going_on(known, last) if w not in given]

    return complete


def _shipped(folder: str) -> list[Path]:
    """TOML files that serfeat ships: of the installed package, else of the source checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "_shipped" / folder, package.parent / folder):
        if place.is_dir():
            return sorted(place.glob("*.toml"))
    return []


def corpora(incomplete: str) -> list[str]:
    """Complete the name of a corpus: those with a card, and `folders`."""
    return _going_on([*(card.stem for card in _shipped("data_manifests")), "folders"], incomplete)


def recipes(incomplete: str) -> list[str]:
    """Complete the name of a shipped recipe, or the path of one."""
    head, _, _ = incomplete.rpartition("/")
    here = sorted(Path(head or ".").glob("*.toml"))
    own = [str(path) if not incomplete.startswith("./") else f"./{path}" for path in here]
    return _going_on([*(path.stem for path in _shipped("pipelines")), *own], incomplete)


def entries(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of an entry of the recipes that are given before it."""
    # while an option is unfinished, typer leaves the arguments before it as they are
    given = context.params.get("recipes") or context.params.get("recipe") or context.args
    shipped = {path.stem: path for path in _shipped("pipelines")}
    found: list[str] = []
    for name in [given] if isinstance(given, str) else given:
        path = shipped.get(Path(name).stem, Path(name)) if not Path(name).is_file() else Path(name)
        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        parts = read.get("entries", [])
        found += [str(p["name"]) for p in parts if isinstance(p, dict) and "name" in p]
    return _going_on(found, incomplete)


def settings(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the entry of a setting: ``timnet.``"""
    return [f"{name}." for name in entries(context, incomplete)]
