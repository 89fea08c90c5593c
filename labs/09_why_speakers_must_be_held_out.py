# %% [markdown]
# # 09 Why speakers must be held out
# **You will see** a model "recognise" something that cannot be heard at all, with a fine score.
# Needs: lab 08. About 40 minutes. Synthetic speech: no score says anything about people.

# %%
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serfeat.extract import extract
from serfeat.labs import check, speech
from serfeat.manifest_csv import read_manifest
from serfeat.metrics import uar
from serfeat.splits import folds

rows = read_manifest(speech()).rows  # 6 speakers x 16 clips
X = extract(speech(), "mfcc").values
speaker = rows["speaker"].to_numpy(str)

# %% [markdown]
# ## What the features know: principal components of the MFCC functionals

# %%
place = PCA(2).fit_transform(StandardScaler().fit_transform(X))
fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, column in zip(axes, ("emotion", "speaker"), strict=True):
    for name in sorted(set(rows[column])):
        ax.plot(*place[rows[column] == name].T, "o", ms=4, label=name)
    ax.set(title=f"by {column}", xlabel="component 1 (1)", ylabel="component 2 (1)")
    ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## An impossible task
# Does the speaker like tea or coffee? We invent the answer: three speakers tea, three coffee. There
# are 10 ways to deal that. No voice tells; whatever is above chance is a mistake of ours.

# %%
random_folds, _ = folds(rows, "random_kfold", n=6)
held_out, _ = folds(rows, "leave_one_speaker_out")


def score(parts, truth):
    """UAR of an SVM that is trained and tested on each of the folds."""
    guess = np.empty(len(truth), dtype=object)
    for fold in parts:
        model = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
        guess[fold.test] = model.fit(X[fold.train], truth[fold.train]).predict(X[fold.test])
    return uar(truth, guess, ["coffee", "tea"])


teams = [t for t in combinations(sorted(set(speaker)), 3) if "s1" in t]
drinks = [np.where(np.isin(speaker, team), "tea", "coffee") for team in teams]
easy = np.array([score(random_folds, d) for d in drinks])
honest = np.array([score(held_out, d) for d in drinks])
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.plot(easy, np.full(10, 1), "o")
ax.plot(honest, np.full(10, 0), "o")
ax.plot([easy.mean(), honest.mean()], [1, 0], "k|", ms=25)
ax.set(title="tea or coffee? (bars: means)", xlabel="UAR (1)", ylabel="protocol", yticks=[0, 1],
       yticklabels=["held out", "random"], xlim=(0, 1.02))  # fmt: skip
plt.show()

# %% [markdown]
# **09.1** How much UAR, in the mean over the ten, is knowing the speaker worth?
#
# **09.2** Of the test clips of `random_folds`, which share (0 to 1) has a speaker who is also in
# the training clips of the same fold?
#
# **09.3** Held out, the mean is *below* 0.5. Think of a model that copies the drink of one random
# training speaker: three like tea, one of those is the test. How often is it right (0 to 1)?

# %%
answer_1 = None
print(check("09.1", answer_1, of=(easy, honest)))
answer_2 = None  # 0 ... 1
print(check("09.2", answer_2, of=(random_folds, speaker)))
answer_3 = None  # 0 ... 1
print(check("09.3", answer_3))

# %% [markdown]
# ## Choosing on the test fold
# A network that knows nothing guesses among 4 emotions on 24 test clips. We look after each of 30
# epochs and report the **best epoch on the test fold**; 200 times.

# %%
curves = np.random.default_rng(0).binomial(24, 0.25, size=(200, 30)) / 24  # accuracy
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.plot(curves[:5].T, lw=1)
ax.axhline(0.25, color="black", ls=":", label="chance")
ax.axhline(curves.max(axis=1).mean(), color="C3", label="mean of the best epochs")
ax.set(title="five networks that know nothing", xlabel="epoch (number)", ylabel="accuracy (1)")
ax.legend()
plt.show()

# %% [markdown]
# **09.4** By how much is the mean of the best epochs above the mean of the **last** epochs?
#
# **09.5** What may be computed before the clips are split: (a) the mean and spread of each column,
# (b) which columns separate the emotions best, (c) the F0 of each clip?

# %%
answer_4 = None
print(check("09.4", answer_4, of=curves))
answer_5 = None  # "a", "b" or "c"
print(check("09.5", answer_5))

# %% [markdown]
# ## Remember
# "Does it work on someone new?" needs someone new.
#
# ## Where it goes wrong in practice
# Random folds by default; the same *sentence* on both sides; near-copies of a clip in both; the
# **best epoch on the test fold**; a **scaler before the split**. `serfeat lint` looks for these.
