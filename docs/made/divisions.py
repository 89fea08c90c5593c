"""docs/protocols.md and a drawing of every protocol: who is trained on, who is tested.

The drawings are of the real folds of `serfeat.splits` on made-up rows: a row of squares is a
speaker, a square a clip. Bytes are the same at every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from made.markdown import page, table
from serfeat.packs import PACKS, read_pack
from serfeat.protocols.division import Fold
from serfeat.splits import PROTOCOLS, folds

__all__ = ["PICTURES", "draw_divisions", "drawing", "protocols"]

PICTURES = "protocols"  # below docs/

# When to take it, and what its score does not say.
ADVICE = {
    "leave_one_speaker_out": "The default. Take it wherever there are fewer than about twenty "
    "speakers: every voice is tested once, and the intervals are over these voices.",
    "speaker_kfold": "With many speakers, or slow models: the same question at less cost.",
    "held_out_speakers": "When a paper or a customer names the test speakers. With two or three "
    "of them the score says little: look at the interval.",
    "leave_one_session_out": "For dialogues (IEMOCAP): partners, room and day are held out with "
    "the speaker.",
    "leave_one_text_out": "Does the model know the emotion, or the sentence? Voices are heard in "
    "training, so it is no answer about new speakers.",
    "text_kfold": "The same with fewer fits.",
    "speaker_and_text": "The hardest question on an acted corpus: a new voice says a new sentence. "
    "A fold leaves out all rows that share one of the two.",
    "within_corpus": "The diagonal of a cross-corpus matrix: each corpus by itself.",
    "leave_one_corpus_out": "Several corpora: is the rest of the world enough for this one?",
    "cross_corpus": "Trained here, used there: what deployment looks like.",
    "leave_one_language_out": "Does it carry over to a language that was never heard?",
    "predefined": "Official partitions (ComParE, MSP-Podcast): the column says train or test.",
    "predefined_folds": "Official folds in a column.",
    "random_kfold": "To reproduce papers, and to show what the leak is worth "
    "([measured](results/leak.md)). It is marked in every table and figure; do not choose by it.",
}
EMOTIONS = ("anger", "neutral", "sadness")
COLOURS = (
    *("#0072B2", "#A66F00", "#00805D", "#B0528A", "#2A7FB8", "#C04F00", "#77772A"),
    *("#882255", "#2C7F70", "#666666"),
)
SIDES = {"train": "#9db7cc", "validation": "#7fc7a8", "test": "#D55E00", "left out": "#ffffff"}
CELL, ROW, GAP, LEFT, TOP = 16, 16, 36, 58, 34


def _rows(
    speakers: Sequence[str], corpora: Sequence[str], languages: Sequence[str]
) -> Iterator[dict[str, str]]:
    for i, speaker in enumerate(speakers):
        for text in ("a", "b", "c", "d"):
            for emotion in EMOTIONS:
                yield {
                    "corpus": corpora[i],
                    "language": languages[i],
                    "speaker": speaker,
                    "text_id": text,
                    "session": f"{i // 2 + 1}",
                    "emotion": emotion,
                    "split": "test" if i >= len(speakers) - 2 else "train",
                    "fold": str(i // 2 + 1),
                }


def _example(name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows that show what a protocol does, and parameters small enough to be seen."""
    speakers = [f"s{k}" for k in range(1, 7)]
    corpora, languages = ["one"] * 6, ["de"] * 6
    params: dict[str, Any] = {}
    if name in ("within_corpus", "leave_one_corpus_out", "cross_corpus", "leave_one_language_out"):
        corpora = ["A", "A", "B", "B", "C", "C"]
        languages = ["de", "de", "en", "en", "en", "en"]
        params = {
            "within_corpus": {"n": 2},
            "cross_corpus": {"train": "A", "test": "B"},
        }.get(name, {})
    elif name in PACKS:
        corpus, codes = _cast(name)
        speakers, n = codes, len(codes)
        corpora, languages = [corpus] * n, ["de"] * n
    else:
        params = {
            "speaker_kfold": {"n": 3},
            "held_out_speakers": {"speakers": "s5,s6"},
            "text_kfold": {"n": 2},
            "speaker_and_text": {"speaker_groups": 3, "text_groups": 2},
            "random_kfold": {"n": 4},
        }.get(name, {})
    return pd.DataFrame(list(_rows(speakers, corpora, languages))), params


def _cast(name: str) -> tuple[str, list[str]]:
    """The corpus on which a pack is drawn, and its speakers."""
    if name == "emobox":
        return "ravdess", [f"{k:02}" for k in range(1, 25)]
    if name == "amrwc":
        return "iemocap", [f"{k:02}{sex}" for k in range(1, 6) for sex in "FM"]
    if name == "compare_challenge":
        return "any", [f"s{k}" for k in range(1, 7)]
    return "emodb", ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"]


def drawing(name: str) -> str:
    """The picture of a protocol, as SVG."""
    rows, params = _example(name)
    made, _ = folds(rows, name, **params)
    speakers = list(dict.fromkeys(rows["speaker"]))
    several = len(set(rows["corpus"])) > 1
    clips = len(rows) // len(speakers)
    right = LEFT + clips * CELL + GAP
    width, height = right + clips * CELL + 12, TOP + len(speakers) * ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="sans-serif" font-size="10">',
        f"<title>{escape(_words(name, rows, made))}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 14, "which fold tests a clip"),
        _text(right, 14, f"fold 1 of {len(made)}: {made[0].name}"),
    ]
    for i, speaker in enumerate(speakers):
        corpus = rows["corpus"].iloc[i * clips]
        shown = f"{corpus}/{speaker}" if several else speaker
        parts.append(_text(LEFT - 6, TOP + i * ROW + 12, shown, end=True))
    parts += [_text(x + 4 + t * 3 * CELL, 28, f"sentence {s}", grey=True)
              for x in (LEFT, right) for t, s in enumerate("abcd")]  # fmt: skip
    parts += _which(made, len(rows), clips, LEFT) + _sides(made[0], len(rows), clips, right)
    parts += _legend(made[0], len(rows), right, height - 14)
    parts.append(_text(LEFT, height - 14, "row: a speaker; square: a clip; number: the fold"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _words(name: str, rows: pd.DataFrame, made: Sequence[Fold]) -> str:
    """What the picture shows, for those who do not see it."""
    first = made[0]
    return (
        f"{name} on {rows['speaker'].nunique()} speakers with 12 clips each: {len(made)} "
        f"fold{'s' if len(made) > 1 else ''}; the first trains on {len(first.train)} clips and "
        f"tests {len(first.test)}."
    )


def _text(x: float, y: float, words: str, *, end: bool = False, grey: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    colour = "#767676" if grey else "#1a1a1a"
    size = ' font-size="8"' if grey else ""
    return f'<text x="{x}" y="{y}" fill="{colour}"{anchor}{size}>{escape(words)}</text>'


def _squares(places: Mapping[str, Sequence[tuple[int, int]]]) -> list[str]:
    """One path for all squares of a colour."""
    found = []
    for colour, corners in places.items():
        edge = ' stroke="#c8c8c8" stroke-width="0.7"' if colour == "#ffffff" else ""
        side = CELL - 2
        d = "".join(f"M{x} {y}h{side}v{side}h-{side}z" for x, y in corners)
        found.append(f'<path d="{d}" fill="{colour}"{edge}/>')
    return found


def _place(row: int, clips: int, left: int) -> tuple[int, int]:
    return left + row % clips * CELL, TOP + row // clips * ROW


def _which(made: Sequence[Fold], n: int, clips: int, left: int) -> list[str]:
    """The number of the (first) fold that tests each clip."""
    tested: dict[int, int] = {}
    for number, fold in enumerate(made):
        for row in fold.test.tolist():
            tested.setdefault(row, number)
    places: dict[str, list[tuple[int, int]]] = {}
    numbers = ['<g font-size="8" text-anchor="middle" fill="#ffffff">']
    for row in range(n):
        x, y = _place(row, clips, left)
        colour = COLOURS[tested[row] % len(COLOURS)] if row in tested else "#ffffff"
        places.setdefault(colour, []).append((x, y))
        if row in tested:
            numbers.append(f'<text x="{x + 7}" y="{y + 10}">{tested[row] + 1}</text>')
    return [*_squares(places), *numbers, "</g>"]


def _side(fold: Fold, n: int) -> list[str]:
    side = ["left out"] * n
    sides: Mapping[str, Sequence[int]] = {
        "train": fold.train.tolist(),
        "validation": fold.validation.tolist(),
        "test": fold.test.tolist(),
    }
    for name, members in sides.items():
        for row in members:
            side[row] = name
    return side


def _sides(fold: Fold, n: int, clips: int, left: int) -> list[str]:
    places: dict[str, list[tuple[int, int]]] = {}
    for row, name in enumerate(_side(fold, n)):
        places.setdefault(SIDES[name], []).append(_place(row, clips, left))
    return _squares(places)


def _legend(fold: Fold, n: int, left: int, y: int) -> list[str]:
    found, x = [], left
    for name in (s for s in SIDES if s in set(_side(fold, n))):
        found += [*_squares({SIDES[name]: [(x, y - 11)]}), _text(x + CELL + 3, y, name)]
        x += CELL + 14 + 6 * len(name)
    return found


INTRODUCTION = """\
A protocol divides the recordings into folds: what a model learns from, and what it is asked
about afterwards. **It is the most consequential choice of a comparison**: the same model on the
same corpus scores 5 to 35 points more where the test voices were heard in training
([measured](results/leak.md)). Not sure? [Which protocol should I
use](faq.md#which-protocol-should-i-use).

Whether speakers, sentences and sessions are really apart is counted on every run, whoever made
the folds, and printed beside every score. In the drawings a row of squares is a speaker and a
square a clip; on the left the number of the fold that tests a clip, on the right what the first
fold does."""


def _section(name: str) -> str:
    p = PROTOCOLS[name]
    held = {True: "held out", False: "**heard in training**", None: "counted on the rows"}
    params = ", ".join(
        f'`{n} = "{v}"`' if isinstance(v, str) else f"`{n} = {v}`" for n, v in p.params.items()
    )
    rows = [("test speakers", held[p.speaker_independent]), ("parameters", params)]
    rows += _of_pack(name) if name in PACKS else []
    words = p.words
    for n in p.params:
        words = words.replace(f"{{{n}}}", f"*{n}*")
    return "\n\n".join(
        (
            f"## `{name}`",
            words.replace("{folds} ", ""),
            ADVICE.get(name, ""),
            f"![{name}: who is trained on and who is tested]({PICTURES}/{name}.svg)",
            table(("", ""), *((k, v) for k, v in rows if v)),
        )
    ).replace("\n\n\n\n", "\n\n")


def _of_pack(name: str) -> list[tuple[str, str]]:
    pack = read_pack(name)
    corpus, codes = _cast(name)
    return [
        ("corpora", ", ".join(f"`{c}`" for c in pack.corpora)),
        ("metric", pack.metric),
        ("wrong as published", str(pack.published.get("flaw", ""))),
        ("corrected", str(pack.corrected.get("changes", ""))),
        ("drawn", f"corrected, with the {len(codes)} speakers of `{corpus}`"),
    ]


def protocols() -> str:
    """docs/protocols.md."""
    contents = [("protocol", "test speakers", "take it")]
    for p in PROTOCOLS.values():
        held = {True: "held out", False: "**heard in training**", None: "counted on the rows"}
        advice = ADVICE.get(p.name, "To compare with its published numbers.").partition(". ")[0]
        words = advice if advice.endswith("?") else advice.rstrip(".") + "."
        contents.append((f"[`{p.name}`](#{p.name})", held[p.speaker_independent], words))
    return page("# Protocols", INTRODUCTION, table(*contents), *map(_section, PROTOCOLS))


def draw_divisions(folder: Path) -> None:
    """Write the drawing of every protocol."""
    folder.mkdir(exist_ok=True)
    for name in PROTOCOLS:
        (folder / f"{name}.svg").write_text(drawing(name), encoding="utf-8")
