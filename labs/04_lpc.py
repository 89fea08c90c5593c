# %% [markdown]
# # 04 LPC: the voice as a source and a filter
# **You will see** that the next sample of a voice can be guessed from the last few, and that what
# cannot be guessed is the vocal folds.
#
# Needs: labs 01 and 03. About 45 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat.demo import sustained
from serfeat.labs import check, hear
from serfeat.signal.prediction import levinson

FORMANTS = (730.0, 1090.0, 2440.0, 3500.0, 4500.0)
vowel = sustained(FORMANTS, f0=110.0, seconds=0.6)
sr, ORDER = vowel.sr, 18  # the usual order: a pair of poles for every kHz, and two more
frame = vowel.x[4000:4480] * np.hamming(480)  # 30 ms


def predict(frame, order):
    """Levinson's recursion: a (1, a1, ..., ap) of the inverse filter, and the error's energy."""
    lags = np.correlate(frame, frame, "full")[len(frame) - 1 :][: order + 1]
    found = levinson(lags)
    return found.a, float(found.error)


a, error = predict(frame, ORDER)

# %% [markdown]
# ## Guess the next sample
# The guess is a weighted sum of the last p samples; the weights make the error small. By
# convention the *error* is written as a filter with `a[0] = 1`:
#
# $$e[n] = x[n] + a_1 x[n-1] + \dots + a_p x[n-p]$$
#
# **04.1** Compute the error `e` of `frame` (480 values; before the frame there are zeros).
# `np.convolve` is enough.

# %%
answer_1 = None  # an array of 480 values
print(check("04.1", answer_1, of=(frame, a)))

# %%
e = np.convolve(vowel.x, a)[: len(vowel.x)]  # over the whole vowel
part = slice(4000, 5000)
fig, (top, bottom) = plt.subplots(2, figsize=(9, 4), sharex=True, layout="constrained")
ms = 1000 * np.arange(1000) / sr
top.plot(ms, vowel.x[part])
bottom.plot(ms, e[part], color="C3")
top.set(title="the vowel", xlabel="time (ms)", ylabel="pressure")
bottom.set(title="what cannot be guessed: the folds close", xlabel="time (ms)", ylabel="error")
plt.show()
hear(e, sr)  # a buzz without a vowel

# %% [markdown]
# ## The filter that is left
# 1 / A(z) is the vocal tract: its curve lies on the hills of the spectrum.

# %%
hz = np.fft.rfftfreq(4096, 1 / sr)
spectrum = 20 * np.log10(np.abs(np.fft.rfft(frame, 4096)) + 1e-9)
fig, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
for ax, order in zip(axes, (6, ORDER, 150), strict=True):
    b, power = predict(frame, order)
    envelope = 10 * np.log10(power) - 20 * np.log10(np.abs(np.fft.rfft(b, 4096)))
    ax.plot(hz, spectrum, lw=0.5, color="gray")
    ax.plot(hz, envelope, color="C3")
    ax.set(title=f"order {order}", xlabel="frequency (Hz)", ylabel="level (dB)", ylim=(-60, 30))
plt.show()

# %% [markdown]
# **04.2** A resonance takes a pair of poles. How many resonances can a filter of order 12 have?
#
# **04.3** In the right picture the curve has left the hills. What does it follow: (a) the
# harmonics, (b) the formants, (c) noise?
#
# **04.4** The *prediction gain* says how much of the frame can be guessed: its energy over the
# energy of the error, in dB. How much is it at order 18? (`error` is the energy of the error.)

# %%
answer_2 = None
print(check("04.2", answer_2))
answer_3 = None  # "a", "b" or "c"
print(check("04.3", answer_3))
answer_4 = None  # dB
print(check("04.4", answer_4, of=(frame, a, error)))

# %% [markdown]
# ## Poles are formants
# The roots of A(z) near the circle are the resonances; their angle is a frequency.

# %%
roots = np.roots(a)
fig, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
ax.plot(np.cos(np.linspace(0, 2 * np.pi, 200)), np.sin(np.linspace(0, 2 * np.pi, 200)), lw=0.5)
ax.plot(roots.real, roots.imag, "x", color="C3")
ax.set(title="poles of order 18", xlabel="real part (1)", ylabel="imaginary part (1)")
plt.show()

# %% [markdown]
# **04.5** Which frequency, in Hz, has the pole nearest to the circle with an angle between 300 Hz
# and 900 Hz? (A whole turn, 2 pi, is the sample rate.)

# %%
answer_5 = None  # Hz
print(check("04.5", answer_5, of=vowel))

# %% [markdown]
# ## Remember
# LPC = tract (a few numbers) + source (what is left). Order 2 + kHz for formants.
#
# ## Where it goes wrong in practice
# Half of the tools give `a`, the other half `-a`: look at `a[0]`. An average of coefficients over
# frames need not be a stable filter: average reflection coefficients or line spectral frequencies.
# LPC of clipped or MP3-coded speech models the codec.
