"""Is this copy of a corpus complete, unchanged and readable?

Compares a manifest and its audio with what the card expects: counts per speaker and emotion,
total duration, sample rates; missing, empty, truncated and silent files; recordings that occur
twice, found by content (`serfeat.corpora.recordings`). Where there are rater votes, the summary
says how far the raters agree (`serfeat.votes`).

An error means that scores from this copy cannot be trusted; a warning is something to know. Faults
that the card lists as known to be in every copy are warnings. A copy that lacks whole speakers is a
subset and gets a warning; one that lacks single recordings of a speaker is incomplete.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from serfeat.corpora import CORPORA
from serfeat.corpora.recordings import Decode, look
from serfeat.errors import CorpusError
from serfeat.manifest import Card, Manifest
from serfeat.votes import agreement_lines

__all__ = ["CheckResult", "check_manifest"]

SHOWN = 5  # names listed in one message
# Decoders differ by a few samples per file, never by half a percent of a corpus.
TOTAL_TOLERANCE = 0.005
# Fewer equal durations than this may be chance.
ENOUGH_FILES = 10


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Parameters
    ----------
    errors, warnings : one line each.
    notes : what the card says that every user of the corpus should know.
    counts : speakers x emotions, utterances.
    files : one row per recording: duration (s), sample_rate (Hz), channels, fault, digest.
    duplicates : groups of recordings with the same samples.
    missing : recordings that are in the manifest and not on the disk.
    agreement : how far the raters agree, one line each; none without votes.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    counts: pd.DataFrame
    files: pd.DataFrame
    duplicates: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    agreement: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def total_seconds(self) -> float:
        """Duration of all readable recordings, s."""
        return float(np.nansum(self.files["duration"].to_numpy(dtype=np.float64)))

    @property
    def summary(self) -> tuple[str, ...]:
        """What there is, one line each."""
        rates = sorted(set(self.files["sample_rate"].dropna().astype(int)))
        minutes = f"{self.total_seconds / 60:.2f} min" if rates else "durations not looked at"
        return (
            f"{int(self.counts.to_numpy().sum())} utterances in {len(self.files)} files, {minutes}",
            f"{len(self.counts)} speakers, {self.counts.shape[1]} emotions",
            *((f"sample rates: {', '.join(map(str, rates))} Hz",) if rates else ()),
            *self.agreement,
        )

    def raise_errors(self, *, where: object = "") -> None:
        """Raise the first error, if there is one.

        Raises
        ------
        CorpusError : naming the first error and how many more there are.
        """
        if self.errors:
            more = f" (and {len(self.errors) - 1} more errors)" if len(self.errors) > 1 else ""
            raise CorpusError(self.errors[0] + more, where=where, code="check-failed")


def check_manifest(
    manifest: Manifest,
    *,
    card: Card | None = None,
    decode: Decode = "full",
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Check a manifest and its audio.

    Parameters
    ----------
    card : what to expect; default: the manifest's own (a side-car holds only part of a card; the
        whole one of the same name is used).
    decode : "full" decodes every sample (finds truncation and duplicates), "info" reads headers
        only, "none" looks at the rows alone.
    progress : called with (files done, files).
    """
    card = _card_of(manifest) if card is None else card
    errors: list[str] = []
    warnings: list[str] = []
    counts = pd.crosstab(
        manifest.rows["speaker"].to_numpy(dtype=object),
        manifest.rows["emotion"].to_numpy(dtype=object),
        rownames=["speaker"],
        colnames=["emotion"],
    )
    whole = card is None or _check_counts(manifest, card, errors, warnings)
    _check_names(manifest, errors, warnings)
    files = look(manifest, decode, progress)
    missing = tuple(files.index[files["fault"] == "missing"])
    known = {} if card is None else card.known_faults
    _report_faults(files, known, errors, warnings)
    if decode != "none":
        _check_durations(files, card, whole, errors, warnings)
        _check_rates(files, card, warnings)
    duplicates = _duplicates(files)
    _report_duplicates(duplicates, manifest, known, errors, warnings)
    notes = () if card is None else card.warnings
    return CheckResult(
        errors=tuple(errors),
        warnings=tuple(warnings),
        counts=counts,
        files=files,
        duplicates=duplicates,
        missing=missing,
        notes=notes,
        agreement=agreement_lines(manifest.rows),
    )


def _card_of(manifest: Manifest) -> Card | None:
    card = manifest.card
    if card is not None and not card.n_utterances and card.name in CORPORA:
        return CORPORA[card.name].card
    return card


# --- the rows -----------------------------------------------------------------------------------


def _check_counts(manifest: Manifest, card: Card, errors: list[str], warnings: list[str]) -> bool:
    """Compare counts with the card; True if the manifest holds the whole corpus."""
    rows = manifest.rows
    found = rows["speaker"].value_counts()
    absent = sorted(set(card.speakers) - set(found.index))
    for speaker, n in sorted(found.items()):
        expected = card.speakers.get(str(speaker))
        if card.speakers and expected is None:
            errors.append(f"speaker {speaker!r} is not one of {card.name}'s")
        elif expected is not None and n != expected:
            errors.append(f"speaker {speaker!r} has {n} utterances, expected {expected}")
    strange = set(manifest.labels) - set(card.emotions) if card.emotions else set()
    if strange:
        errors.append(f"emotions that {card.name} does not have: {', '.join(sorted(strange))}")
    if absent:
        names = _some(absent)
        warnings.append(
            f"a subset: {len(found)} of {len(card.speakers)} speakers, "
            f"{len(rows)} of {card.n_utterances} utterances (absent: {names})"
        )
        return False
    if card.n_speakers and len(manifest.speakers) != card.n_speakers:
        errors.append(f"{len(manifest.speakers)} speakers, expected {card.n_speakers}")
    if card.n_utterances and len(rows) != card.n_utterances:
        errors.append(f"{len(rows)} utterances, expected {card.n_utterances}")
    per_emotion = rows["emotion"].value_counts()
    for emotion, expected in card.emotion_counts.items():
        n = int(per_emotion.get(emotion, 0))
        if n != expected:
            errors.append(f"{emotion} has {n} utterances, expected {expected}")
    return len(rows) == card.n_utterances


def _check_names(manifest: Manifest, errors: list[str], warnings: list[str]) -> None:
    """Speakers without a spread of emotions, and names that collide on other systems."""
    groups: dict[str, list[str]] = defaultdict(list)
    for file in manifest.files:
        groups[unicodedata.normalize("NFC", file).casefold()].append(file)
    collide = [g for g in groups.values() if len(g) > 1]
    if collide:
        warnings.append(f"names that are one on other systems: {_some(map(' = '.join, collide))}")
    if not manifest.labels:
        warnings.append("no labels: features can be extracted, nothing can be trained")
    elif len(manifest.labels) == 1:
        errors.append(f"only one emotion: {manifest.labels[0]}")
    elif manifest.speakers:
        each = manifest.labelled().rows.groupby("speaker")["emotion"].nunique()
        single = sorted(map(str, each.index[each == 1]))
        if single:
            warnings.append(
                f"{len(single)} of {len(each)} speakers have one emotion only ({_some(single)}): "
                "speaker and emotion cannot be told apart there, and normalisation per speaker "
                "would erase the label"
            )


# --- the audio ----------------------------------------------------------------------------------


def _report_faults(
    files: pd.DataFrame, known: Mapping[str, str], errors: list[str], warnings: list[str]
) -> None:
    """One line per kind of fault; what the card knows of is a warning."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file, fault in files["fault"].items():
        if fault and PurePosixPath(str(file)).stem in known and fault != "missing":
            warnings.append(f"{file}: {fault}; known: {known[PurePosixPath(str(file)).stem]}")
        elif fault:
            kinds[fault.split(":")[0]].append(str(file))
    for kind, names in sorted(kinds.items()):
        example = files["fault"][names[0]]
        detail = f" ({example})" if example != kind else ""
        errors.append(f"{len(names)} of {len(files)} files {kind}: {_some(names)}{detail}")


def _check_durations(
    files: pd.DataFrame, card: Card | None, whole: bool, errors: list[str], warnings: list[str]
) -> None:
    """All files as long as each other, or a total that is not the corpus'."""
    seconds = files["duration"].dropna().to_numpy(dtype=np.float64)
    if len(seconds) >= ENOUGH_FILES and np.ptp(seconds) < 1e-3:
        line = f"all {len(seconds)} files last exactly {seconds[0]:.3f} s"
        if card is None or card.synthetic:
            warnings.append(f"{line}: they may have been cut and padded to one length")
        else:
            errors.insert(  # first: it explains everything else that may be wrong
                0,
                f"{line}: this copy of {card.name} was cut and padded to one length, the original "
                "recordings differ in duration; get the original",
            )
    elif card is not None and card.total_seconds and whole and len(seconds) == len(files):
        total = float(seconds.sum())
        if abs(total - card.total_seconds) > TOTAL_TOLERANCE * card.total_seconds:
            errors.append(
                f"{total:.1f} s of audio, expected {card.total_seconds:.1f} s: the recordings of "
                "this copy were cut, padded or changed in speed"
            )


def _check_rates(files: pd.DataFrame, card: Card | None, warnings: list[str]) -> None:
    """Sample rates that are mixed, or not the corpus'."""
    rates = files["sample_rate"].dropna().astype(int).value_counts()
    if len(rates) > 1:
        listed = ", ".join(f"{n} files at {rate} Hz" for rate, n in rates.items())
        warnings.append(f"mixed sample rates: {listed}")
    elif (
        card is not None and card.sample_rate and len(rates) and rates.index[0] != card.sample_rate
    ):
        warnings.append(
            f"the files have {rates.index[0]} Hz, {card.name} is distributed with "
            f"{card.sample_rate} Hz: this copy was resampled"
        )


# --- duplicates ---------------------------------------------------------------------------------


def _duplicates(files: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Groups of recordings with the same samples; silent files are not duplicates of each other."""
    groups: dict[str, list[str]] = defaultdict(list)
    for file, digest, fault in zip(files.index, files["digest"], files["fault"], strict=True):
        if digest and not fault:
            groups[digest].append(str(file))
    return tuple(tuple(sorted(g)) for g in groups.values() if len(g) > 1)


def _report_duplicates(
    duplicates: tuple[tuple[str, ...], ...],
    manifest: Manifest,
    known: Mapping[str, str],
    errors: list[str],
    warnings: list[str],
) -> None:
    """The same recording under two speakers or two labels is an error, else a warning."""
    labels = manifest.rows.groupby(level="file")[["speaker", "emotion"]].first()
    for group in duplicates:
        line = f"the same recording: {' = '.join(group)}"
        if any(PurePosixPath(file).stem in known for file in group):
            warnings.append(f"{line} (known, in every copy)")
        elif len(labels.loc[list(group)].drop_duplicates()) > 1:
            errors.append(f"{line}, with different speakers or emotions")
        else:
            warnings.append(line)


def _some(names: Iterable[str]) -> str:
    """A few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
