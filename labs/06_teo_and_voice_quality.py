# %% [markdown]
# # 06 TEO and voice quality
# **You will see** three ways to hear how a voice is *made*: the work in an oscillation (TEO), how
# unsteady the folds are (jitter), how much breath is in it (HNR). Needs: labs 01, 02. 45 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat import lld
from serfeat.demo import sustained, utterance
from serfeat.labs import check, hear

sr = 16000
t = np.arange(sr // 10) / sr

# %% [markdown]
# ## Teager energy
# To swing the same distance faster takes more work. Teager's operator needs three samples:
# $\psi[n] = x[n]^2 - x[n-1]\,x[n+1]$. Two tones, equally strong for an ordinary energy:

# %%
A = 0.1
low, high = A * np.sin(2 * np.pi * 500 * t), A * np.sin(2 * np.pi * 2000 * t)
fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for ax, tone, name in zip(axes, (low, high), ("500 Hz", "2000 Hz"), strict=True):
    ax.plot(1000 * t[:160], tone[:160] ** 2, label="x²")
    ax.plot(1000 * t[:160], lld.teager(tone)[:160], label="Teager's ψ")
    ax.set(title=name, xlabel="time (ms)", ylabel="energy (full scale²)")
    ax.legend(loc="upper right")
plt.show()

# %% [markdown]
# It is flat. For a sine ψ is $A^2 \sin^2(2\pi f/f_s)$.
#
# **06.1** How large is ψ of the tone of 2000 Hz? (A = 0.1, 16000 Hz)
#
# **06.2** How many dB (of energy) is ψ of the 2000 Hz tone above that of the 500 Hz tone?

# %%
answer_1 = None  # full scale squared
print(check("06.1", answer_1))
answer_2 = None  # dB
print(check("06.2", answer_2))

# %% [markdown]
# ## Folds that are not steady
# Jitter: how much a period differs from the next one, on average, as a share of the mean period.

# %%
steady = sustained(f0=110.0, seconds=0.8)
rough = sustained(f0=110.0, seconds=0.8, jitter=0.02)
periods = 1000 * np.diff(rough.truth.pulse_s)  # ms
fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
ax.plot(1000 * np.diff(steady.truth.pulse_s), label="steady")
ax.plot(periods, label="rough")
ax.set(title="length of every period", xlabel="period (number)", ylabel="length (ms)")
ax.legend()
plt.show()
hear(np.concatenate([steady.x, rough.x]), sr)

# %% [markdown]
# **06.3** Compute the jitter of `periods` in **percent**.

# %%
answer_3 = None  # %
print(check("06.3", answer_3, of=periods))

# %% [markdown]
# ## Breath
# HNR compares what repeats from period to period with what does not, in dB: here with the truth.

# %%
true_db = np.arange(0, 41, 5)
voices = [sustained(f0=110.0, seconds=0.5, hnr_db=float(h)) for h in true_db]
measured = [np.nanmedian(lld.hnr(v.x, sr)) for v in voices]
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot(true_db, measured, "o-")
ax.plot(true_db, true_db, ":", color="gray")
ax.set(title="HNR of a vowel", xlabel="true (dB)", ylabel="measured (dB)")
plt.show()
hear(np.concatenate([v.x for v in voices]), sr)

# %% [markdown]
# **06.4** The breath has a **tenth** of the energy of the voice. How large is HNR in dB?

# %%
answer_4 = None  # dB
print(check("06.4", answer_4))

# %% [markdown]
# ## And in a sentence?
# A clinic calls a *sustained vowel* rough above 1.04 %. Here is the truth of whole sentences.

# %%
emotions = ("neutral", "boredom", "sadness", "anger", "happiness", "fear")
said = [utterance("s1", e, "t1").truth.row() for e in emotions]
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.bar(emotions, [100 * row["truth_jitter_local"] for row in said])
ax.axhline(1.04, color="C3", ls=":", label="clinical limit")
ax.set(title="jitter of six sentences", xlabel="emotion", ylabel="jitter (%)")
ax.legend()
plt.show()

# %% [markdown]
# **06.5** Why are some above the limit: (a) the speaker is ill, (b) a melody changes the periods
# too, (c) jitter is larger in noise?

# %%
answer_5 = None  # "a", "b" or "c"
print(check("06.5", answer_5))

# %% [markdown]
# ## Remember
# TEO is energy times frequency squared, so it needs bands; jitter and HNR live in voiced frames.
#
# ## Where it goes wrong in practice
# Unvoiced frames written as **0 dB HNR** lower the mean of whoever says more *s*. openSMILE's
# HNR saturates near 10 dB: another quantity under the same name. ψ depends on the sample rate.
