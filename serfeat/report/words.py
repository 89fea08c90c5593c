"""What the numbers say in words.

Conventions
-----------
A sentence is computed from the numbers of the tables; one entry is called better than another
only where a paired test supports it after Holm's correction for all pairs. The verdict is about
the held-out-speaker protocol that comes first.

Contents
--------
`title_of`        : a protocol.
`verdict`         : the opening sentences.
`caveats`         : what the numbers do not say.
`control_words`   : the random-label controls.
`confusion_words` : a confusion matrix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from serfeat import metrics
from serfeat.report.differences import gaps, held_and_random, mean_gap, pair, shared_entries
from serfeat.report.numbers import interval, p_value, percent, points, visible
from serfeat.report.run import DEPENDENT, Run

__all__ = ["caveats", "confusion_words", "control_words", "title_of", "verdict"]

TITLES = {
    "leave_one_speaker_out": "held-out speakers, one at a time",
    "leave_one_session_out": "held-out sessions, one at a time",
    "speaker_kfold": "held-out speakers, {n} folds",
    "random_kfold": "random {n}-fold",
    "leave_one_text_out": "held-out texts, one at a time",
    "leave_one_corpus_out": "held-out corpora, one at a time",
    "cross_corpus": "another corpus",
}


def title_of(protocol: str) -> str:
    """A protocol's key in words: "random_kfold(10)" -> "random 10-fold"."""
    match = re.fullmatch(r"(\w+)(?:\((\d+)\))?", protocol)
    if not match or match[1] not in TITLES:
        return visible(protocol.replace("_", " "))
    return TITLES[match[1]].format(n=match[2] or "k")


def verdict(run: Run) -> list[str]:
    """The opening sentences: the gap between protocols, then the best entries."""
    held, random = held_and_random(run)
    sentences = []
    if held is None:
        sentences.append(
            "No protocol with held-out speakers was run: every score on this page was made with "
            "voices that the models had heard, and says nothing about new speakers."
        )
    elif random is not None:
        sentences += _gap_words(run, held, random)
    key = held or run.protocols[0]["key"]
    sentences += _best_words(run, key, "On held-out speakers" if held else "On known speakers")
    return sentences


def _gap_words(run: Run, held: str, random: str) -> list[str]:
    entries = shared_entries(run, held, random)
    if not entries:
        return []
    mean = mean_gap(run, entries, held, random)
    if not np.isfinite(mean.difference):
        return []
    size = f"{abs(100 * mean.difference):.1f} points"
    verb = "gain" if mean.difference >= 0 else "lose"
    reach = interval(mean.low, mean.high, signed=True)
    each = ", ".join(f"{visible(e)} {points(g.difference)}" for e, g in gaps(run, held, random))
    doubt = "" if mean.excludes_zero else ", which is not distinguishable from zero"
    sentence = (
        f"Random folds {verb} {size} of UAR {reach} on average over held-out speakers{doubt} "
        f"({each})."
    )
    if mean.low > 0:
        sentence += " The gain is knowing the voice; with new speakers it is lost."
    return [sentence]


def _best_words(run: Run, protocol: str, where: str) -> list[str]:
    board = run.scored(protocol)
    board = board[board["uar"].notna()]
    if board.empty:
        return [f"{where} no entry has a score."]
    kinds = [run.kind(e) for e in board["entry"]]
    first = board.iloc[0]
    rivals = [i for i, kind in enumerate(kinds) if kind != kinds[0]] or list(range(1, len(board)))
    score = f"{percent(first['uar'])} % {interval(first['uar_low'], first['uar_high'])}"
    name, chance = visible(first["entry"]), float(first["chance"])
    text = f"{where} {name} ({kinds[0]}) scores a UAR of {score}"
    if run.transductive(str(first["entry"])):
        text += ", normalised with the test speakers' own unlabelled audio"
    if rivals:
        second = board.iloc[rivals[0]]
        other = f"{percent(second['uar'])} % {interval(second['uar_low'], second['uar_high'])}"
        kind = "the best " + kinds[rivals[0]] if kinds[rivals[0]] != kinds[0] else "the second"
        text += f", {kind} entry {visible(second['entry'])} {other}"
        text += _lead_words(run, str(first["entry"]), str(second["entry"]), protocol)
    low = float(first["uar_low"])
    at_chance = np.isfinite(low) and low <= chance
    tail = "even the best is not distinguishable from it" if at_chance else ""
    return [f"{text}. Chance is {percent(chance)} %{': ' + tail if tail else ''}."]


def _lead_words(run: Run, first: str, second: str, protocol: str) -> str:
    """Whether the lead of one entry over another is more than luck."""
    d = pair(run, first, second, protocol)
    if not np.isfinite(d.difference):
        return "; the two were not tested on the same clips"
    lead = f"; the difference of {points(d.difference).lstrip('+')} points "
    lead += interval(d.low, d.high, signed=True)
    if d.better:
        p = p_value(d.p_holm)
        equals = "" if p.startswith("<") else "= "
        return f"{lead} is shown by a paired test (p {equals}{p} after Holm)"
    words = " is not distinguishable from zero"
    if (d.low > 0 or d.high < 0) and d.tested > 1:
        words = f" excludes zero alone, but not after correcting for {d.tested} pairs: call it even"
    return lead + words


def caveats(run: Run, protocol: str) -> list[str]:
    """What the scores of one protocol do not say."""
    board = run.scored(protocol)
    row, k = board.iloc[0], len(board)
    speakers = int(row["speakers"])
    seeds = "one seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    if DEPENDENT in run.marks(protocol):
        first = (
            "The models knew the voices: neither these scores nor their intervals say anything "
            "about new speakers, and they must not stand beside scores of held-out speakers."
        )
    else:
        first = (
            f"The intervals say how far a score may move with {speakers} other speakers recorded "
            "like these. They do not say what happens with another corpus, another microphone or "
            "felt instead of acted emotion."
        )
    out = [f"{first} Each entry was trained with {seeds}."]
    if k > 1:
        out.append(
            f"The highest of {k} scores was found on these very clips, so it is a little too high. "
            "Intervals are of one score or difference; “better than” is corrected for all pairs."
        )
    transductive = [str(e) for e in board["entry"] if run.transductive(str(e))]
    if transductive:
        names = "Every entry" if len(transductive) == k else ", ".join(map(visible, transductive))
        out.append(
            f"Transductive: {names} used the test speakers' unlabelled audio, all of it, before "
            "the first prediction. With one clip of a new voice such a score cannot be had"
            + (" and it is not like for like beside the others." if len(transductive) < k else ".")
        )
    if oracles := [str(e) for e in board["entry"] if str(e).endswith("[epoch chosen on test]")]:
        out.append(
            f"Too high by design: {', '.join(map(visible, oracles))} chose the epoch on the test "
            "folds."
        )
    if row["folds_incomplete"]:
        out.append(
            f"{row['folds_incomplete']} of {row['folds']} folds have no clip of some emotion; "
            "their UAR is the mean over the emotions that they have. The pooled UAR has them all."
        )
    if row["classes"] < len(run.labels):
        out.append(
            f"Only {row['classes']} of {len(run.labels)} emotions occur in the tested clips; UAR "
            "is the mean over those."
        )
    return out


def control_words(run: Run) -> list[dict[str, Any]]:
    """One statement per random-label control: does chance lie inside its interval?"""
    out = []
    for row in run.board[run.board["control"]].to_dict("records"):
        inside = row["uar_low"] <= row["chance"] <= row["uar_high"]
        if inside:
            words = "lies inside the interval, as it should"
        elif np.isfinite(row["uar_low"]):
            words = "lies outside: something leaks, or the interval is too narrow"
        else:
            words = "cannot be compared: the interval is not defined"
        text = (
            f"{visible(row['entry'])} with random labels, {title_of(row['protocol'])}: UAR "
            f"{percent(row['uar'])} % {interval(row['uar_low'], row['uar_high'])}; chance, "
            f"{percent(row['chance'])} %, {words}."
        )
        out.append({"ok": inside, "text": text})
    return out


def confusion_words(counts: Any, labels: Sequence[str]) -> str:
    """The best and the worst recall, and the most frequent confusion."""
    recall = metrics.recalls_of(counts)
    if np.isnan(recall).all():
        return "No clip."
    best, worst = int(np.nanargmax(recall)), int(np.nanargmin(recall))
    names = [visible(x) for x in labels]
    text = f"Recall from {percent(recall[worst], 0)} % ({names[worst]}) to "
    text += f"{percent(recall[best], 0)} % ({names[best]})"
    wrong = np.array(counts, dtype=np.float64)
    np.fill_diagonal(wrong, 0.0)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    i, j = np.unravel_index(int(np.argmax(wrong / totals)), wrong.shape)
    if wrong[i, j] > 0:
        share = percent(wrong[i, j] / totals[i, 0], 0)
        text += f"; most often mistaken: {names[i]} for {names[j]} ({share} % of {names[i]})"
    return text + "."
