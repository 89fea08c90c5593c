# %% [markdown]
# # 02 Prosody: melody, loudness, tempo
# **You will see** the melody of a voice (F0), why silence has no pitch, and what anger does to
# both.
#
# Needs: lab 01. About 40 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from serfeat import lld
from serfeat.demo import utterance
from serfeat.labs import check, hear

spoken = {e: utterance("s1", e, "t1") for e in ("neutral", "anger", "sadness")}
calm, angry = spoken["neutral"], spoken["anger"]
sr = calm.sr
hear(np.concatenate([s.x for s in spoken.values()]), sr)

# %% [markdown]
# ## One period
# Where a voice sounds, the signal repeats. Slide a frame along itself: it matches best after one
# period. This is the autocorrelation.

# %%
voiced = np.flatnonzero(np.isfinite(calm.truth.f0_hz))
i = int(voiced[len(voiced) // 3])  # a voiced frame
middle = i * round(0.010 * sr)
frame = calm.x[middle - 320 : middle + 320] * np.hanning(640)  # 40 ms
match = np.correlate(frame, frame, "full")[639:]  # at lags 0, 1, 2, ... samples
match = match / match[0]
fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
ax.plot(1000 * np.arange(400) / sr, match[:400])
ax.axvspan(1000 / 600, 1000 / 75, color="orange", alpha=0.2, label="75 to 600 Hz")
ax.set(title=f"autocorrelation of frame {i}", xlabel="lag (ms)", ylabel="match (1 = equal)")
ax.legend()
plt.show()

# %% [markdown]
# **02.1** Find the lag of the highest match between 600 and 75 Hz, and turn it into F0 in **Hz**.
# (At lag 0 everything matches: leave it out.)

# %%
answer_1 = None  # Hz
print(check("02.1", answer_1, of=(calm, i)))

# %% [markdown]
# ## A melody
# `lld.f0` does this in every frame, corrects for the window, and looks for the smoothest way
# through all candidates. NaN means "no voice here".

# %%
f0 = {e: lld.f0(s.x, sr) for e, s in spoken.items()}
fig, (melody, level) = plt.subplots(2, figsize=(9, 6), sharex=True, layout="constrained")
for e, s in spoken.items():
    t = 0.010 * np.arange(len(f0[e]))
    melody.plot(t, f0[e], ".", ms=3, label=e)
    melody.plot(t, s.truth.f0_hz, lw=0.5, color="black")  # what the synthesiser was told
    level.plot(t, lld.rms_db(s.x, sr), label=e)
melody.set(title="F0 (black: the truth)", xlabel="time (s)", ylabel="F0 (Hz)")
level.set(title="energy", xlabel="time (s)", ylabel="level (dB re full scale)", ylim=(-80, 0))
melody.legend()
plt.show()

# %% [markdown]
# **02.2** What is the mean F0 of the neutral sentence, in Hz?
#
# **02.3** Ears hear ratios: twelve semitones are a doubling. By how many **semitones** does the
# *median* of F0 rise from neutral to anger?
#
# **02.4** Which share of the frames of the neutral sentence is voiced (0 to 1)?
#
# **02.5** `2 * x` is 6 dB louder. What does `lld.f0(2 * x, sr)` do: (a) rises, (b) stays,
# (c) falls? Guess, then try.

# %%
answer_2 = None  # Hz
print(check("02.2", answer_2, of=calm))
answer_3 = None  # semitones
print(check("02.3", answer_3, of=(calm, angry)))
answer_4 = None  # 0 ... 1
print(check("02.4", answer_4, of=calm))
answer_5 = None  # "a", "b" or "c"
print(check("02.5", answer_5))

# %% [markdown]
# ## Two ways to spoil it
# Left: a contour read some frames too early or too late (a semitone is 100 cent). Right: a deep
# voice searched in a range for children: what is found at all is an octave too high.

# %%
deep = utterance("s2", "neutral", "t1")
good, bad = lld.f0(deep.x, sr), lld.f0(deep.x, sr, floor=150, ceiling=600)
shifts = np.arange(-4, 5)
cents = [1200 * np.log2(np.roll(f0["anger"], k) / angry.truth.f0_hz) for k in shifts]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(10 * shifts, [np.nanmedian(np.abs(c)) for c in cents], "o-")
left.set(title="read from the wrong frame", xlabel="shift (ms)", ylabel="median error (cent)")
t = 0.010 * np.arange(len(good))
right.plot(t, good, ".", label="75 to 600 Hz")
right.plot(t, bad, "x", ms=4, label="150 to 600 Hz")
right.set(title="the wrong range", xlabel="time (s)", ylabel="F0 (Hz)", ylim=(0, 400))
right.legend()
plt.show()

# %% [markdown]
# ## Remember
# F0 in semitones, level in dB: as ears hear. What is undefined is NaN, never 0.
#
# ## Where it goes wrong in practice
# Tools that write 0 for "unvoiced" make the mean F0 a measure of pauses. A pitch track whose first
# frame is not at time 0, joined by number, is **read from the wrong frame**. Most octave errors
# come from the range. And the mean F0 tells sex better than emotion: compare within a speaker.
