# %% [markdown]
# # 01 Sound and frames
# **You will see** how a recording becomes a list of numbers, and why everything in this field is
# measured a hundred times per second through a short window.
#
# Needs: Python and NumPy, nothing about sound. About 30 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat.demo import utterance
from serfeat.labs import check, hear
from serfeat.shorttime import ShortTime

SPEAKER, EMOTION, SENTENCE = "s2", "neutral", "t1"  # try "s1", "anger", "t3"
spoken = utterance(SPEAKER, EMOTION, SENTENCE)
x, sr = spoken.x, spoken.sr  # samples in -1 ... 1, and how many of them make a second
hear(x, sr)

# %% [markdown]
# ## Samples
# The air pressure at the microphone, measured `sr` times per second. A synthesiser said the
# sentence, so we know which sound is where: the grey letters.

# %%
t = np.arange(len(x)) / sr
vowel = next(s for s in spoken.truth.segments if s.phone == "a")
middle = (vowel.start + vowel.end) / 2
fig, (whole, near) = plt.subplots(2, figsize=(9, 5), layout="constrained")
whole.plot(t, x, lw=0.5)
for s in spoken.truth.segments:
    whole.text((s.start + s.end) / 2, 0.9 * x.max(), s.phone, color="gray", ha="center")
whole.axvspan(middle - 0.025, middle + 0.025, color="orange", alpha=0.4)
near.plot(t, x)
near.set_xlim(middle - 0.025, middle + 0.025)
whole.set(title="the sentence", xlabel="time (s)", ylabel="pressure (full scale 1)")
near.set(title="50 ms of its first a", xlabel="time (s)", ylabel="pressure (full scale 1)")
plt.show()

# %% [markdown]
# **01.1** How long is the sentence, in seconds? Compute it from `x` and `sr`.
#
# **01.2** The lower picture repeats itself: each repeat is one opening of the vocal folds. How
# long is one repeat, in **milliseconds**? Read it off (10 % is near enough).

# %%
answer_1 = None  # s
print(check("01.1", answer_1, of=spoken))
answer_2 = None  # ms
print(check("01.2", answer_2, of=spoken))

# %% [markdown]
# ## Frames
# Speech changes with every sound, and a sound lasts 50 to 200 ms. So we look through a window of
# 25 ms, and move it on by a *hop* of 10 ms. On serfeat's grid frame i is **centred** on sample
# `i * hop`; what lies outside of the recording counts as zero.

# %%
hop, length = round(0.010 * sr), round(0.025 * sr)  # samples
st = ShortTime(x, sr)
frames = st.frames(length)  # (frames, length)
i = round(middle * sr / hop)
fig, axes = plt.subplots(figsize=(9, 3), layout="constrained")
for k, colour in zip((i - 1, i, i + 1), ("C1", "C2", "C3"), strict=True):
    at = (np.arange(length) + k * hop - length // 2) / sr
    axes.plot(at, frames[k] + 0.3 * (k - i), color=colour, label=f"frame {k}")
    axes.axvline(k * hop / sr, color=colour, ls=":")
axes.set(title="three neighbours (moved apart)", xlabel="time (s)", ylabel="pressure + offset")
axes.legend(loc="upper right")
plt.show()

# %% [markdown]
# **01.3** How many frames has the sentence? Find a formula with `len(x)` and `hop` (and compare
# with `st.n_frames` afterwards).
#
# **01.4** With which sample does frame 50 begin, if the window has `length` samples?

# %%
answer_3 = None
print(check("01.3", answer_3, of=spoken))
answer_4 = None
print(check("01.4", answer_4))

# %% [markdown]
# ## The window decides what you see
# The same sentence through a short window and a long one.

# %%
fig, axes = plt.subplots(2, figsize=(9, 6), sharex=True, layout="constrained")
for ax, ms in zip(axes, (5, 40), strict=True):
    power = st.power(round(ms / 1000 * sr), 1024, preemphasis=0.97)
    db = 10 * np.log10(power + 1e-12)
    low, high = db.max() - 60, db.max()
    picture = ax.imshow(db.T, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="magma",
                        extent=(0, len(x) / sr, 0, sr / 2))  # fmt: skip
    ax.set(title=f"window of {ms} ms", xlabel="time (s)", ylabel="frequency (Hz)", ylim=(0, 4000))
fig.colorbar(picture, ax=axes, label="power (dB)")
plt.show()

# %% [markdown]
# In one picture the *strokes* of the vocal folds are apart, in the other their *harmonics*.
#
# **01.5** A voice of 100 Hz has harmonics every 100 Hz. Which window shows them one by one:
# (a) 5 ms, (b) 10 ms, (c) 40 ms?

# %%
answer_5 = None  # "a", "b" or "c"
print(check("01.5", answer_5))

# %% [markdown]
# ## Remember
# Length in time times resolution in frequency is fixed: 25 ms is a compromise, not a law. A hop
# is not a window.
#
# ## Where it goes wrong in practice
# HTK, Kaldi and openSMILE let frame i *begin* at `i * hop`: joined by frame number with centred
# features, every value is 12.5 ms off. A window "of 512" is 32 ms at 16 kHz and 12 ms at 44.1 kHz:
# say it in seconds. And features of one recording at 44.1 and one at 16 kHz differ by the rate.
