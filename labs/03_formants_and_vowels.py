# %% [markdown]
# # 03 Formants and vowels
# **You will see** what makes an *a* an *a*: two resonances of the throat and mouth, whoever
# speaks and however high.
#
# Needs: lab 01. About 40 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat import lld
from serfeat.demo import PHONES, sustained
from serfeat.labs import check, hear, mystery

VOWELS = {v: (*PHONES[v].targets[0], 3500.0, 4500.0) for v in "aeiou"}  # F1 to F5, Hz
sung = {v: sustained(f, f0=110.0, seconds=0.5) for v, f in VOWELS.items()}
sr = sung["a"].sr
hear(np.concatenate([s.x for s in sung.values()]), sr)

# %% [markdown]
# ## The harmonics and the hills
# All five have the same F0: their harmonics are at the same places. The vowel is in the *hills*.

# %%
fig, axes = plt.subplots(1, 5, figsize=(12, 3), sharey=True, layout="constrained")
for ax, (v, s) in zip(axes, sung.items(), strict=True):
    part = s.x[2000:4048] * np.hanning(2048)
    ax.plot(np.fft.rfftfreq(2048, 1 / sr), 20 * np.log10(np.abs(np.fft.rfft(part)) + 1e-6))
    for f in VOWELS[v][:3]:
        ax.axvline(f, color="C3", ls=":")
    ax.set(title=v, xlabel="frequency (Hz)", xlim=(0, 3500), ylim=(-50, 35))
axes[0].set_ylabel("level (dB)")
plt.show()

# %% [markdown]
# ## The vowel chart
# F1 says how open the mouth is, F2 how far forward the tongue. Phoneticians turn both axes round,
# so that the chart looks like a mouth that faces left.

# %%
riddle = mystery(3)  # other numbers are other vowels
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for v, s in sung.items():
    f1, f2 = np.nanmedian(lld.formants(s.x, sr), axis=0)[:2]
    ax.plot(f2, f1, "o", color="C0")
    ax.plot(VOWELS[v][1], VOWELS[v][0], "x", color="C3")
    ax.annotate(v, (f2, f1), xytext=(6, 6), textcoords="offset points", size=14)
ax.set(title="measured (o) and true (x)", xlabel="F2 (Hz)", ylabel="F1 (Hz)")
ax.invert_xaxis()
ax.invert_yaxis()
plt.show()
hear(riddle.x, sr)

# %% [markdown]
# **03.1** What is F1 of the riddle, in Hz? `lld.formants` gives F1, F2, F3, then the bandwidths,
# one row per frame.
#
# **03.2** Which vowel is it? Find the nearest one of the chart (F1 *and* F2).

# %%
answer_1 = None  # Hz
print(check("03.1", answer_1, of=riddle))
answer_2 = None  # "a", "e", "i", "o" or "u"
print(check("03.2", answer_2, of=riddle))

# %% [markdown]
# ## Where the hills come from
# A throat is a tube, closed at the vocal folds and open at the lips. A quarter of a wave fits in,
# so the first resonance is c / (4 L), with c = 350 m/s in warm air.
#
# **03.3** A child's vocal tract is 12 cm long. What is its first resonance, in Hz?

# %%
answer_3 = None  # Hz
print(check("03.3", answer_3))

# %% [markdown]
# ## High voices hide their formants
# The hill is only heard where a harmonic is. Here *a*, with F1 = 730 Hz, sung higher and higher.

# %%
pitches = np.arange(100, 401, 15)
first = [np.nanmedian(lld.formants(sustained(VOWELS["a"], f0=float(f), seconds=0.3).x, sr)[:, 0])
         for f in pitches]  # fmt: skip
fig, ax = plt.subplots(figsize=(9, 3.5), layout="constrained")
ax.plot(pitches, first, "o-", label="measured F1")
ax.axhline(730, color="C3", ls=":", label="true F1")
for h in (2, 3, 4):
    ax.plot(pitches, h * pitches, color="gray", lw=0.5)
ax.set(title="F1 is drawn to the nearest harmonic (grey)", xlabel="F0 (Hz)", ylabel="F1 (Hz)",
       ylim=(550, 950))  # fmt: skip
ax.legend()
plt.show()

# %% [markdown]
# **03.4** By how many Hz is F1 wrong at most in this picture? (`first` holds what was measured.)
#
# **03.5** A man has a formant in about every kHz. Analyse `man` with `ceiling=8000.0`, the setting
# for children, who have five formants below 8 kHz. What happens: (a) F1 doubles, (b) F1 and F2,
# which lie close together, melt into one, (c) nothing?

# %%
answer_4 = None  # Hz
print(check("03.4", answer_4, of=first))
man = sustained((730, 1090, 2440, 3500, 4500, 5500, 6500, 7500), f0=110.0, seconds=0.3)
answer_5 = None  # "a", "b" or "c"
print(check("03.5", answer_5))

# %% [markdown]
# ## Remember
# F0 is the folds, formants are the tract: each moves without the other.
#
# ## Where it goes wrong in practice
# A ceiling that does not fit the voice numbers the formants anew: F2 of one clip is F3 of the
# next. The mean F1 of a sentence measures *which vowels were said* first and emotion second.
# Formants of fricatives and silence are poles of noise: take voiced frames only.
