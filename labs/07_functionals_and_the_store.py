# %% [markdown]
# # 07 Functionals and the store
# **You will see** how clips of any length become rows of one length, and why nothing is computed
# twice. Needs: lab 02, a little pandas. About 30 minutes.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile

from serfeat.demo import utterance
from serfeat.extract import extract
from serfeat.labs import check

folder = Path(tempfile.mkdtemp())
for emotion in ("anger", "neutral", "sadness"):
    for sentence in ("t1", "t2", "t3", "t4"):
        said = utterance("s1", emotion, sentence)
        soundfile.write(folder / f"{emotion}_{sentence}.wav", said.x, said.sr)
(folder / "broken.wav").write_bytes(b"RIFF")  # a download that was cut
store = folder / "store"

# %% [markdown]
# ## Frames, then statistics
# `level="lld"` is a row per frame (*low-level descriptors*), the default a row per clip: mean,
# standard deviation, percentiles, ... of every contour, its *functionals*.

# %%
frames = extract(folder, "f0,energy", level="lld", store=store).table
result = extract(folder, "f0,energy", store=store)
table = result.table
clip = frames.loc["anger_t1.wav"]["f0_hz"].to_numpy()
row = table.loc["anger_t1.wav"].iloc[0]
fig, ax = plt.subplots(figsize=(9, 3.5), layout="constrained")
ax.plot(0.010 * np.arange(len(clip)), clip, ".", label="frames")
for name in ("mean", "p05", "p50", "p95"):
    ax.axhline(row[f"f0_hz__{name}"], lw=1, label=name, color=f"C{len(ax.lines)}")
ax.set(title="a contour and its functionals", xlabel="time (s)", ylabel="F0 (Hz)")
ax.legend(loc="upper right")
plt.show()
print(frames.shape, "->", table.shape)

# %% [markdown]
# **07.1** Compute the mean F0 of every clip yourself, from `frames`, in the order of `table`.
# (`frames["f0_hz"].groupby("file").mean()` is a start. What does pandas do with NaN?)
#
# **07.2** The same for the standard deviation. The table's is the one that divides by n.

# %%
answer_1 = None  # Hz, 12 values
print(check("07.1", answer_1, of=(frames, table)))
answer_2 = None  # Hz, 12 values
print(check("07.2", answer_2, of=(frames, table)))

# %% [markdown]
# ## What has no row
# 13 files went in. What cannot be read is not dropped: it is a row of the failures.

# %%
print(result.failures_table[["stage", "reason"]])

# %% [markdown]
# **07.3** A corpus has 535 files, the table 533 rows. How many rows must `failures` have?

# %%
answer_3 = None
print(check("07.3", answer_3))

# %% [markdown]
# ## Computed once
# Features are kept under the *content* of the recording. Below, one file changes under its name.

# %%
again = extract(folder, "f0,energy", store=store)
said = utterance("s2", "anger", "t1")
soundfile.write(folder / "anger_t1.wav", said.x, said.sr)
changed = extract(folder, "f0,energy", store=store)
other = extract(folder, "f0,energy,hnr", store=store)
runs = {"other features": other, "a file changed": changed, "again": again, "first": result}
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.barh(list(runs), [r.computed for r in runs.values()])
ax.set(title="what had to be computed", xlabel="clips (number)", ylabel="run")
plt.show()

# %% [markdown]
# **07.4** A cache that knows a clip by its *file name* alone: how many wrong rows would the third
# run have returned?
#
# ## Which statistic?
# A tracker makes octave errors: 5 % of the frames have twice their F0.

# %%
truth = np.random.default_rng(0).normal(200, 10, 1000)  # Hz
measured = truth.copy()
measured[:50] *= 2
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.hist([truth, measured], bins=60, label=["truth", "measured"])
ax.set(title="5 % octave errors", xlabel="F0 (Hz)", ylabel="frames (number)")
ax.legend()
plt.show()

# %% [markdown]
# **07.5** Which of these moves least from `truth` to `measured`: "mean", "median" or "std"?

# %%
answer_4 = None
print(check("07.4", answer_4))
answer_5 = None  # "mean", "median" or "std"
print(check("07.5", answer_5, of=(truth, measured)))

# %% [markdown]
# ## Remember
# Rows + failures = inputs. A functional must say which frames it counts.
#
# ## Where it goes wrong in practice
# NaN filled with 0 or the column's mean *before* the functional; tables joined by row number;
# caches by file name; the number of frames as a silent feature (it is the length of the clip).
