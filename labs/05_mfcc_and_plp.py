# %% [markdown]
# # 05 MFCC and PLP
# **You will see** how a spectrum of 257 numbers becomes 13 that say nearly as much: group as the
# ear does, take logarithms, keep the coarse shape.
#
# Needs: labs 01 and 03. About 45 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat.demo import utterance
from serfeat.labs import check
from serfeat.lld.plp import equal_loudness
from serfeat.shorttime import ShortTime
from serfeat.spectrum import dct_ortho, hz_to_bark, mel_filterbank

spoken = utterance("s1", "neutral", "t1")
sr = spoken.sr
vowel = next(s for s in spoken.truth.segments if s.phone == "a")
i = round((vowel.start + vowel.end) / 2 / 0.010)  # its middle frame

# %% [markdown]
# ## Group: a bank of 26 triangles
# Equally wide on the mel scale: narrow where the ear is keen, wide above.

# %%
power = ShortTime(spoken.x, sr).power(round(0.025 * sr), 512, preemphasis=0.97)  # (frames, 257)
bank = mel_filterbank(sr, 512, 26, scale="htk")  # (26, 257)
hz = np.fft.rfftfreq(512, 1 / sr)
bands = power @ bank.T  # (frames, 26)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
left.plot(hz, bank.T, lw=1)
left.set(title="the bank", xlabel="frequency (Hz)", ylabel="weight (1)")
right.plot(hz, 10 * np.log10(power[i] + 1e-12), lw=0.5, label="257 bins")
right.plot(hz[bank.argmax(1)], 10 * np.log10(bands[i]), "o-", label="26 bands")
right.set(title="a frame of an a", xlabel="frequency (Hz)", ylabel="power (dB)")
right.legend()
plt.show()

# %% [markdown]
# **05.1** How many of the 26 bands have their peak below 1000 Hz?

# %%
answer_1 = None
print(check("05.1", answer_1, of=bank))

# %% [markdown]
# ## Logarithm and cosines
# The cepstrum is the cosine transform of the *logarithm* of the bands: c0 is level, c1 tilt,
# c2 a hump, and so on.
#
# **05.2** Compute c0 to c12 of frame `i` from `bands[i]`. (The natural logarithm, and
# `dct_ortho(values, 13)`.)
#
# **05.3** The same recording, half as loud: `0.5 * x`. By how much does **c0** change? The other
# twelve do not. (Orthonormal: c0 is the sum of 26 logarithms over the root of 26.)

# %%
answer_2 = None  # an array of 13 values
print(check("05.2", answer_2, of=bands[i]))
answer_3 = None
print(check("05.3", answer_3))

# %%
c = dct_ortho(np.log(bands[i]))  # all 26
fig, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, layout="constrained")
for ax, n in zip(axes, (3, 13, 26), strict=True):
    kept = np.where(np.arange(26) < n, c, 0)
    k = np.arange(26)
    scale = np.where(k == 0, np.sqrt(1 / 26), np.sqrt(2 / 26))
    smooth = (scale * kept) @ np.cos(np.pi * k[:, None] * (k + 0.5) / 26)
    ax.plot(np.log(bands[i]), color="gray", label="bands")
    ax.plot(smooth, color="C3", label=f"from {n} coefficients")
    ax.set(xlabel="band (number)", ylabel="log power (1)")
    ax.legend()
plt.show()

# %% [markdown]
# **05.4** What did the transform do that the logarithm of the bands had not: (a) it made the
# numbers smaller, (b) it separated coarse shape from fine shape, so that one can keep the coarse,
# (c) it removed the noise?

# %%
answer_4 = None  # "a", "b" or "c"
print(check("05.4", answer_4))

# %% [markdown]
# ## PLP: the ear again, and a usual bug
# PLP weighs the bands by how loud the ear hears them, then fits LPC to the result. The weight is a
# formula of **frequency in Hz**. Several programs hand it the number of the band instead.

# %%
centres = hz[bank.argmax(1)]
right_way = 10 * np.log10(equal_loudness(centres))
wrong_way = 10 * np.log10(equal_loudness(1.0 + np.arange(26)))  # Bark or band numbers as if Hz
fig, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
ax.plot(hz_to_bark(centres), right_way - right_way.max(), "o-", label="of the frequency")
ax.plot(hz_to_bark(centres), wrong_way - wrong_way.max(), "x-", label="of the band's number")
ax.set(title="equal loudness, re the loudest band", xlabel="frequency (Bark)",
       ylabel="weight (dB)")  # fmt: skip
ax.legend()
plt.show()

# %% [markdown]
# **05.5** How many dB less than at 1000 Hz does the ear hear at 100 Hz? Compute it with
# `equal_loudness`, which is a weight of *power*. (As a positive number.)

# %%
answer_5 = None  # dB
print(check("05.5", answer_5))

# %% [markdown]
# ## Remember
# Power, bands, logarithm, cosines. Level sits in c0 alone: leave it out, or mean to use it.
#
# ## Where it goes wrong in practice
# "13 MFCCs" of HTK, Kaldi and librosa are different numbers (mel formula, lifter, logarithm, c0):
# never mix them in one table. **Loudness on the wrong axis** nearly removes the low bands, where F1
# is. A telephone has nothing above 4 kHz: the bands there hold rounding errors.
