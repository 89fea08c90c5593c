# %% [markdown]
# # 13 Reading a comparison
# **You will see** what stands behind a table of scores: one line per clip. And how sure one may be
# of "A beats B" with six speakers.
#
# Needs: labs 08 and 09. About 45 minutes. Synthetic speech: no score says anything about people.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from serfeat.compare import compare
from serfeat.compare.leaderboard import leaderboard
from serfeat.labs import check, speech
from serfeat.manifest_csv import read_manifest
from serfeat.metrics import confusion
from serfeat.metrics import per_speaker as score_speakers
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.stats import paired_difference
from serfeat.store import read_table

PROTOCOL = "leave_one_speaker_out"
entries = [Entry("knn", "knn", "prosody"), Entry("svm", "svm", "prosody"),
           Entry("svm_mfcc", "svm", "mfcc")]  # fmt: skip
plan = Plan("lab 13", entries, [ChosenProtocol(PROTOCOL)], control=["svm"], control_runs=3)
run = compare(read_manifest(speech()), plan, Path(tempfile.mkdtemp()) / "run", listen=False)
everything = read_table(run / "predictions.parquet")
predictions = everything[~everything["control"]]
labels = sorted(set(predictions["truth"]))

# %% [markdown]
# ## The artefact
# One row per clip and entry. Every score is a function of this table.

# %%
print(predictions[["speaker", "entry", "fold", "truth", "prediction"]].head())
board = leaderboard(everything, labels=labels)
print(board[["entry", "uar", "uar_low", "uar_high", "war", "speakers"]].round(3))

# %% [markdown]
# **13.1** Compute the UAR of "svm" from `predictions`: the mean of the recalls of the emotions.

# %%
answer_1 = None  # 0 ... 1
print(check("13.1", answer_1, of=predictions))

# %% [markdown]
# ## Every speaker is one experiment
# The clips of one voice stand or fall together: the interval draws *speakers*, not clips. The
# control was trained on shuffled labels: it must be at chance.

# %%
fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
dots = score_speakers(predictions)
for i, entry in enumerate(board["entry"]):
    line = board.iloc[i]
    ax.plot([line["uar_low"], line["uar_high"]], [i, i], lw=6, alpha=0.3, color="C0")
    own = dots[dots["entry"] == entry]["uar"] if i < 3 else []
    ax.plot(own, np.full(len(own), i), "o", ms=5, color="C0")
    ax.plot(line["uar"], i, "k|", ms=18)
ax.axvline(1 / len(labels), color="C3", ls=":", label="chance")
names = [*board["entry"][:3], "svm, shuffled"]
ax.set(title="UAR: pooled (|), 95 % interval, speakers (o)", xlabel="UAR (1)", ylabel="entry",
       yticks=range(4), yticklabels=names)  # fmt: skip
ax.legend()
plt.show()

# %% [markdown]
# **13.2** Which speaker is hardest for "svm"? Her or his name.

# %%
answer_2 = None  # "s1" ... "s6"
print(check("13.2", answer_2, of=predictions))

# %% [markdown]
# ## A beats B?
# Both were tested on the same clips: what is hard for both cancels out in the *difference*.

# %%
pairs = [("svm", "knn"), ("svm", "svm_mfcc"), ("svm_mfcc", "knn")]
gaps = [paired_difference(predictions, a, b, PROTOCOL, labels=labels) for a, b in pairs]
fig, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
for i, gap in enumerate(gaps):
    ax.plot([gap.low, gap.high], [i, i], lw=6, alpha=0.3, color="C0")
    ax.plot(gap.difference, i, "k|", ms=18)
ax.axvline(0, color="C3", ls=":")
ax.set(title="difference of UAR", xlabel="difference (1)", ylabel="pair", yticks=range(3),
       yticklabels=[f"{a} - {b}" for a, b in pairs])  # fmt: skip
plt.show()

# %% [markdown]
# **13.3** For how many of the three pairs is the sign of the difference decided (0 outside of the
# 95 % interval)?
#
# **13.4** Three tests gave p = 0.010, 0.040, 0.030. Adjust them by **Holm**: the smallest times 3,
# the next times 2, the last times 1, and never less than the one before. In the order given.
#
# **13.5** Which mistake does "svm" make most often? Write it "truth>prediction".

# %%
answer_3 = None
print(check("13.3", answer_3, of=gaps))
answer_4 = None  # an array of 3 values
print(check("13.4", answer_4, of=np.array([0.010, 0.040, 0.030])))
svm = predictions[predictions["entry"] == "svm"]
print(labels, confusion(svm["truth"], svm["prediction"], labels), sep="\n")
answer_5 = None  # e.g. "anger>sadness"
print(check("13.5", answer_5, of=predictions))

# %% [markdown]
# ## Remember
# Ask of every table: which speakers, how many, chosen where, and how wide is the interval?
#
# ## Where it goes wrong in practice
# Intervals over clips (far too narrow); the best of twenty seeds; a mean over folds that lack a
# class; 0.81 against 0.80 "state of the art"; an entry that was tuned against one that was not.
