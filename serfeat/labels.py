"""The emotion vocabulary.

What
----
One closed list of emotion names, so that ``angry``, ``Anger`` and ``ang`` are one class in every
corpus and a typo (``boredem``, found in a published fold list) is an error, never a new class.

Conventions
-----------
* Emotions are nouns, lower case, English: `EMOTIONS`.
* ``other`` is a label: a rater chose something outside the list (contentment, sleepiness, ...).
* No label at all is `UNLABELLED`, the empty text; files say ``unlabelled`` (an empty cell could
  also be an accident). Unlabelled rows can be extracted, and are never a class.
* ``excitement`` counts as happiness, as nearly all work on IEMOCAP does (SUPERB, EmoBox, ...); the
  readers keep the corpus' own code in the column `emotion_code`, so it can be told apart again.
* Codes with another meaning elsewhere (EMO-DB's ``F`` is Freude, not fear) belong to the corpus
  reader; the synonyms here mean the same everywhere.

Contents
--------
`EMOTIONS`, `SYNONYMS`, `normalise`; `SEXES`, `normalise_sex`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from serfeat.errors import ManifestError, did_you_mean

__all__ = ["EMOTIONS", "SEXES", "SYNONYMS", "UNLABELLED", "normalise", "normalise_sex"]

EMOTIONS: tuple[str, ...] = (
    "anger",
    "boredom",
    "calm",
    "contempt",
    "disgust",
    "fear",
    "frustration",
    "happiness",
    "neutral",
    "other",
    "sadness",
    "surprise",
)

# How the absence of a label is held in memory, and the word for it in files.
UNLABELLED = ""
UNLABELLED_WORD = "unlabelled"

# Adjectives, three-letter codes of the field and near synonyms, all lower case.
SYNONYMS: dict[str, str] = {
    "ang": "anger",
    "angry": "anger",
    "rage": "anger",
    "bor": "boredom",
    "bored": "boredom",
    "cal": "calm",
    "calmness": "calm",
    "con": "contempt",
    "contemptuous": "contempt",
    "dis": "disgust",
    "disgusted": "disgust",
    "fea": "fear",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "anxiety": "fear",  # EMO-DB's papers call its fear "anxiety/fear"
    "fru": "frustration",
    "frustrated": "frustration",
    "hap": "happiness",
    "happy": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "exc": "happiness",
    "excited": "happiness",
    "excitement": "happiness",
    "neu": "neutral",
    "neutrality": "neutral",
    "neutral state": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "surprised": "surprise",
    "ps": "surprise",
    "pleasant surprise": "surprise",
    "pleasant surprised": "surprise",
    "xxx": UNLABELLED,
    "no agreement": UNLABELLED,
    UNLABELLED_WORD: UNLABELLED,
}

SEXES: tuple[str, ...] = ("female", "male", "other")
_SEX_SYNONYMS: dict[str, str] = {
    "f": "female",
    "w": "female",
    "woman": "female",
    "m": "male",
    "man": "male",
    "o": "other",
    "diverse": "other",
    "": "",
    "unknown": "",
}


def normalise(
    label: str,
    *,
    label_map: Mapping[str, str] | None = None,
    labels: Collection[str] | None = None,
    where: object = "",
) -> str:
    """Turn a label as it is written somewhere into a label of the vocabulary.

    Case, surrounding blanks, and ``_`` or ``-`` for a blank do not matter.

    Parameters
    ----------
    label : as written.
    label_map : the user's own spelling -> label; it goes before everything else.
    labels : a closed vocabulary of the user's own, in place of `EMOTIONS`; synonyms that lead to
        none of its labels are not applied.
    where : the file and row, for the message.

    Returns
    -------
    A label of the vocabulary, or `UNLABELLED` (for ``unlabelled``, ``xxx``, ``no agreement``).

    Raises
    ------
    ManifestError : an empty label.
    UnknownNameError : a label outside the vocabulary, with the nearest known word.

    >>> normalise("Angry"), normalise("pleasant_surprise")
    ('anger', 'surprise')
    """
    known = EMOTIONS if labels is None else labels
    raw = label.strip()
    if label_map is not None and raw in label_map:
        raw = label_map[raw].strip()
    if raw in known:
        return raw
    word = " ".join(raw.lower().replace("_", " ").replace("-", " ").split())
    if not word:
        raise ManifestError(
            "the emotion is empty",
            where=where,
            code="missing-label",
            fix=f"write {UNLABELLED_WORD!r} where there is no label",
        )
    word = word if word in known else SYNONYMS.get(word, word)
    if word == UNLABELLED or word in known:
        return word
    raise did_you_mean("emotion", raw, known, where=where)


def normalise_sex(text: str, *, where: object = "") -> str:
    """Turn ``F``, ``Female``, ``w``, ... into a word of `SEXES`; unknown is the empty text.

    Raises
    ------
    UnknownNameError : any other word.

    >>> normalise_sex("M"), normalise_sex("")
    ('male', '')
    """
    word = text.strip().lower()
    word = _SEX_SYNONYMS.get(word, word)
    if word in SEXES or word == "":
        return word
    raise did_you_mean("sex", text, SEXES, where=where)
