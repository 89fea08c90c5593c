"""Vowels to compare with: mean F1 and F2 of the vowels of American English.

Sources
-------
G. E. Peterson, H. L. Barney, "Control methods used in a study of the vowels", JASA 24(2), 1952,
table II: 76 speakers (33 men, 28 women, 15 children) who read ten words, h-vowel-d.
"""

from __future__ import annotations

__all__ = ["SOURCE", "VOWELS"]

SOURCE = "Peterson & Barney 1952: means of American English vowels in heed, hid, head, had, ..."

# vowel -> (F1, F2) in Hz, by the speakers of the study
VOWELS: dict[str, dict[str, tuple[float, float]]] = {
    "men": {
        "i": (270, 2290), "ɪ": (390, 1990), "ɛ": (530, 1840), "æ": (660, 1720), "ɑ": (730, 1090),
        "ɔ": (570, 840), "ʊ": (440, 1020), "u": (300, 870), "ʌ": (640, 1190), "ɝ": (490, 1350),
    },
    "women": {
        "i": (310, 2790), "ɪ": (430, 2480), "ɛ": (610, 2330), "æ": (860, 2050), "ɑ": (850, 1220),
        "ɔ": (590, 920), "ʊ": (470, 1160), "u": (370, 950), "ʌ": (760, 1400), "ɝ": (500, 1640),
    },
    "children": {
        "i": (370, 3200), "ɪ": (530, 2730), "ɛ": (690, 2610), "æ": (1010, 2320), "ɑ": (1030, 1370),
        "ɔ": (680, 1060), "ʊ": (560, 1410), "u": (430, 1170), "ʌ": (850, 1590), "ɝ": (560, 1820),
    },
}  # fmt: skip
