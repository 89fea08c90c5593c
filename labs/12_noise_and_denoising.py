# %% [markdown]
# # 12 Noise and denoising
# **You will see** what noise does to each descriptor, and what a denoiser gives back.
# Needs: labs 06 and 08. About 45 minutes. Synthetic speech.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat import lld
from serfeat.demo import utterance
from serfeat.denoise import denoise
from serfeat.labs import check, hear
from serfeat.shorttime import ShortTime

spoken = utterance("s1", "neutral", "t1")
clean, sr = spoken.x, spoken.sr
hiss = np.random.default_rng(0).normal(size=len(clean))  # as loud as you like


def noisy(db):
    """The clip with hiss, `db` of signal-to-noise ratio."""
    return clean + hiss * np.sqrt(np.mean(clean**2) / np.mean(hiss**2) / 10 ** (db / 10))


# %% [markdown]
# **12.1** SNR is a ratio of *energies* in dB. By which factor must `hiss` be multiplied so that
# the sum with `clean` has 6 dB? (Do not call `noisy`, but do read it.)

# %%
answer_1 = None
print(check("12.1", answer_1, of=(clean, hiss)))
hear(np.concatenate([clean, noisy(6), denoise(noisy(6), sr)]), sr)

# %% [markdown]
# ## See it
# The denoiser estimates the noise in every band and turns down what is mostly noise.

# %%
fig, axes = plt.subplots(3, figsize=(9, 7), sharex=True, layout="constrained")
sounds = {"clean": clean, "6 dB": noisy(6), "denoised": denoise(noisy(6), sr)}
for ax, (name, x) in zip(axes, sounds.items(), strict=True):
    db = 10 * np.log10(ShortTime(x, sr).power(400, 512) + 1e-9)
    picture = ax.imshow(db.T, origin="lower", aspect="auto", cmap="magma", vmin=-40, vmax=25,
                        extent=(0, len(x) / sr, 0, sr / 2))  # fmt: skip
    ax.set(title=name, xlabel="time (s)", ylabel="frequency (Hz)")
fig.colorbar(picture, ax=axes, label="power (dB)")
plt.show()

# %% [markdown]
# **12.2** What is the SNR of `denoise(noisy(6), sr)` in dB? Everything that differs from `clean`
# counts as noise.

# %%
answer_2 = None  # dB
print(check("12.2", answer_2, of=(clean, denoise(noisy(6), sr))))

# %% [markdown]
# ## What noise does to the numbers
# The median of each descriptor over the voiced frames: how far is it from clean, measured in the
# scatter over eight other clips of the same voice ("usual differences")?

# %%
MEASURES = {
    "F0": lambda x: lld.f0(x, sr),
    "level": lambda x: lld.rms_db(x, sr),
    "crossings": lambda x: lld.zcr(x, sr),
    "F1": lambda x: lld.formants(x, sr)[:, 0],
    "HNR": lambda x: lld.hnr(x, sr),
    "TEO": lambda x: lld.teo_db(x, sr),
}
voiced = np.isfinite(lld.f0(clean, sr))
others = [utterance("s1", e, s) for e in ("neutral", "boredom") for s in ("t2", "t3", "t4", "t5")]
scatter = {n: np.std([np.nanmedian(m(o.x)[np.isfinite(lld.f0(o.x, sr))]) for o in others])
           for n, m in MEASURES.items()}  # fmt: skip
SNRS = np.array([30, 20, 10, 5, 0])


def moved(name, x):
    """Distance from clean, in usual differences."""
    measure = MEASURES[name]
    change = np.nanmedian(measure(x)[voiced]) - np.nanmedian(measure(clean)[voiced])
    return abs(change) / scatter[name]


away = {n: np.array([moved(n, noisy(s)) for s in SNRS]) for n in MEASURES}
back = {n: np.array([moved(n, denoise(noisy(s), sr)) for s in SNRS]) for n in MEASURES}
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
for ax, table, name in zip(axes, (away, back), ("noisy", "denoised"), strict=True):
    for n, values in table.items():
        ax.plot(SNRS, values, "o-", ms=3, label=n)
    ax.set(title=name, xlabel="SNR (dB)", ylabel="moved (usual differences)", ylim=(0, None))
    ax.invert_xaxis()
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# **12.3** Which of the six has moved most at 10 dB, before denoising? Answer with its name.
#
# **12.4** Which is still furthest from clean after denoising at 10 dB?
#
# **12.5** A model was trained on clean clips. Its street recordings are denoised before the test.
# What is fairest to it: (a) train on clean clips, (b) train on clips that were denoised too,
# (c) choose the strength of the denoiser on the test clips?

# %%
answer_3 = None
print(check("12.3", answer_3, of=away))
answer_4 = None
print(check("12.4", answer_4, of=back))
answer_5 = None  # "a", "b" or "c"
print(check("12.5", answer_5))

# %% [markdown]
# ## Remember
# Robust: F0. Fragile: all that counts fast changes. Train on what you will meet.
#
# ## Where it goes wrong in practice
# A corpus whose angry clips come from another room: the model learns the room. Denoising that
# changes the length moves every label. "SNR" without saying over which stretch it was measured.
