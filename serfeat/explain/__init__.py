"""What a decision rests on: families of features, single clips, and moments in time.

Three questions, which are not the same:

* What does *this trained model* use? `permuted` and `importance`: the columns of one family are
  exchanged between test clips, and the UAR that this costs is counted.
* What can *only this family* tell? `ablation_entries` and `ablation`: the model is trained again
  without the family, and with it alone, on the same folds.
* What decided *this clip*? `contributions`: what every family added to every label's score (boosted
  trees and linear support vectors, exactly); `gates`: what a network's attention, gates and
  evidence were at every frame.

How to read them
----------------
Families overlap: MFCC, LPC, PLP and formants describe one spectrum. A permutation then finds little
in each of them, since the model finds the rest in the others; and it makes clips that cannot exist
(one clip's formants under another's MFCC), where the model was never trained, which can make a
family look more important than it is (Hooker, Mentch & Zhou 2021). Dropping a family and training
again has neither fault, but answers another question: a family that is worth nothing to drop may
tell a lot, only not alone. So both are shown, and the family alone beside them. Intervals are over
speakers (`serfeat.stats`), and a family whose interval contains 0 is not shown to matter.

Nothing here needs a test label while models are trained: the worker that holds the model writes
down what it said (`explained`), and who knows the labels counts afterwards (`explained_tables`).

Tables
------
Every one has the keys entry, protocol, fold (text), seed (int64).

``importance`` : family (text; empty: nothing was exchanged), repeat (int64), speaker, truth,
    prediction (text), n (int64): clips. Of numbers, not labels: truth and prediction float64.
``contributions`` : file, start, end, speaker, truth, family (text; ``(bias)`` for what is given
    before any feature is known), label (text), contribution (float64, of the score before softmax).
``gates`` : file, start, end, speaker, truth, name (text, see `serfeat.heads`), place (int64: frame,
    or number of the scale from 1), time (float64, s since the beginning of the clip, NaN of a
    scale), weight (float64). Of a few clips of each fold only.

Contents
--------
`explained`, `explained_tables` : in a comparison: beside the model, and beside the labels.
`permuted`, `importance`        : permutation importance.
`ablation_entries`, `ablation`  : drop-one and only-one.
`narrowed`                      : features of a part of a set from those of the whole.
`contributions`, `gates`        : of single clips.

Sources
-------
Breiman, "Random forests", Machine Learning 45, 2001 (permutation). Hooker, Mentch & Zhou,
"Unrestricted permutation forces extrapolation", Statistics and Computing 31, 2021. Lundberg et al.,
"From local explanations to global understanding with explainable AI for trees", Nature Machine
Intelligence 2, 2020 (TreeSHAP, which XGBoost computes itself).
"""

from __future__ import annotations

from serfeat.explain.ablation import ablation, ablation_entries, narrowed
from serfeat.explain.contributions import contributions, explains_clips
from serfeat.explain.gates import gates
from serfeat.explain.permutation import importance, permuted
from serfeat.explain.record import explained, explained_tables

__all__ = [
    "ablation",
    "ablation_entries",
    "contributions",
    "explained",
    "explained_tables",
    "explains_clips",
    "gates",
    "importance",
    "narrowed",
    "permuted",
]
