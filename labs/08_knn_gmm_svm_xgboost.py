# %% [markdown]
# # 08 KNN, GMM, SVM, XGBoost
# **You will see** four ways to draw a border between emotions, and what decides more than the
# choice: scaling, and how one counts. Needs: lab 07. 45 minutes. Synthetic speech.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serfeat.extract import extract
from serfeat.labs import check, speech
from serfeat.manifest_csv import read_manifest
from serfeat.metrics import confusion, uar
from serfeat.models import fit, make_model

rows = read_manifest(speech()).rows  # 6 speakers x 4 emotions x 4 sentences
features = extract(speech(), "prosody").table
y, speaker = rows["emotion"].to_numpy(str), rows["speaker"].to_numpy(str)
labels = sorted(set(y))
test = np.isin(speaker, ["s5", "s6"])  # two voices that no model hears before

# %% [markdown]
# ## Four borders
# Two of the columns, so that we can look: the height of the voice and its range.

# %%
X = features[["f0_semitones__p50", "loudness__p95"]].to_numpy()
codes = np.searchsorted(labels, y)


def gmm(A, c, B):
    """One density (two bells) per emotion; the likeliest one wins."""
    bells = [GaussianMixture(2, random_state=0).fit(A[c == k]) for k in range(4)]
    return np.argmax([b.score_samples(B) for b in bells], axis=0)


low, high = X.min(0) - 0.5 * X.std(0), X.max(0) + 0.5 * X.std(0)
gx, gy = np.meshgrid(*(np.linspace(a, b, 80) for a, b in zip(low, high, strict=True)))
grid = np.column_stack([gx.ravel(), gy.ravel()])
knn = make_pipeline(StandardScaler(), KNeighborsClassifier(5))
models = {"KNN": knn, "GMM": None, "SVM": make_model("svm"), "XGBoost": make_model("xgb")}
fig, axes = plt.subplots(1, 4, figsize=(14, 3.8), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    data = X[~test], codes[~test]
    decided = model.fit(*data).predict(grid) if model else gmm(*data, grid)
    ax.contourf(gx, gy, decided.reshape(gx.shape), levels=np.arange(-0.5, 4), alpha=0.25,
                colors=["C0", "C1", "C2", "C3"])  # fmt: skip
    for c, label in enumerate(labels):
        ax.plot(*X[~test & (codes == c)].T, "o", ms=4, color=f"C{c}", label=label)
    ax.set(title=name, xlabel="median F0 (semitones)")
axes[0].set_ylabel("loudness, 95th percentile (sone-like)")
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# **08.1** Which of the four describes where each emotion *lies* (a density) and not only the
# border: "knn", "gmm", "svm" or "xgb"?
#
# **08.2** KNN with k = 1 is asked about its own training clips. Which accuracy has it (0 to 1)?

# %%
answer_1 = None
print(check("08.1", answer_1))
answer_2 = None  # 0 ... 1
print(check("08.2", answer_2))

# %% [markdown]
# ## Scaling
# KNN adds up squared differences of all columns, whatever their units.

# %%
own = features.dropna(axis=1)
A, B = own[~test].to_numpy(), own[test].to_numpy()
plain = KNeighborsClassifier(5).fit(A, y[~test]).predict(B)
scaled = knn.fit(A, y[~test]).predict(B)
spread = own[~test].std().sort_values().iloc[[2, 3, 4, 5, -4, -3, -2, -1]]
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.barh(list(spread.index), spread)
ax.set(title="some small columns and the largest", xlabel="standard deviation (own unit)",
       ylabel="column", xscale="log")  # fmt: skip
plt.show()

# %% [markdown]
# **08.3** By how much does scaling raise UAR (0 to 1)? `uar(truth, prediction, labels)`.

# %%
answer_3 = None
print(check("08.3", answer_3, of=(y[test], plain, scaled)))

# %% [markdown]
# ## How to count
# **08.4** Rows are the truth. What is UAR, the mean of the recalls, of this confusion matrix?

# %%
counts = np.array([[30, 10, 0], [5, 5, 0], [0, 5, 5]])
answer_4 = None  # 0 ... 1
print(check("08.4", answer_4, of=counts))

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, name in zip(axes, ("knn", "xgb"), strict=True):
    model = fit(make_model(name), features[~test].to_numpy(), y[~test], speaker[~test])
    guess = model.predict(features[test].to_numpy())
    ax.imshow(confusion(y[test], guess, labels), cmap="Blues")
    ax.set(title=f"{name}: UAR {uar(y[test], guess, labels):.2f}", xlabel="said (emotion)",
           ylabel="true (emotion)", xticks=range(4), yticks=range(4), xticklabels=labels,
           yticklabels=labels)  # fmt: skip
plt.show()

# %% [markdown]
# ## Remember
# Scale inside the pipeline, on training clips. UAR for classes of different sizes.
#
# ## Where it goes wrong in practice
# A **scaler fitted before the split** has seen the test clips. Settings tuned on the test fold,
# and "accuracy" where half of the clips are neutral.
