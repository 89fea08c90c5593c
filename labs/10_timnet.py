# %% [markdown]
# # 10 TIM-Net: looking at time in many sizes
# **You will see** how a network hears a whole sentence with small filters: gaps that double, and
# gates. Needs: labs 05, 09, a little PyTorch. 45 minutes. Synthetic speech.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from serfeat.extract import extract
from serfeat.heads.timnet import TIMNet
from serfeat.labs import check, speech
from serfeat.manifest_csv import read_manifest
from serfeat.metrics import uar
from serfeat.models import fit, make_model

rows = read_manifest(speech()).rows
y, speaker = rows["emotion"].to_numpy(str), rows["speaker"].to_numpy(str)
labels = sorted(set(y))
frames = extract(speech(), "timnet39", level="lld").values  # 39 MFCC every 23 ms, ragged
HOP = 512 / 22050  # s

# %% [markdown]
# ## How far back does a layer see?
# Block j has two convolutions of 2 taps that lie $2^j$ frames apart. Instead of believing a
# formula, ask the network: which input frames change the output at frame 200?

# %%
torch.manual_seed(0)
fig, ax = plt.subplots(figsize=(9, 3), layout="constrained")
for n in (2, 4, 6):
    net = TIMNet(1, 2, n_dilations=n, causal=True, dropout=0.0).eval()
    x = torch.randn(1, 260, 1, requires_grad=True)
    mask = torch.ones(1, 260, dtype=torch.bool)
    net.forward_stream(x, mask)[-1][0, 200].sum().backward()
    seen = np.flatnonzero(x.grad[0, :, 0].abs().numpy() > 0)
    ax.plot(seen, np.full(len(seen), n), "|", ms=14, label=f"{n} blocks")
ax.axvline(200, color="black", ls=":")
ax.set(title="what frame 200 has seen", xlabel="input (frame)", ylabel="blocks (number)",
       ylim=(1, 7))  # fmt: skip
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# **10.1** How many frames does the last of **6** blocks see, its own included?
#
# **10.2** How many seconds is the first of these frames before the last one? (`HOP`)

# %%
answer_1 = None  # frames
print(check("10.1", answer_1))
answer_2 = None  # s
print(check("10.2", answer_2))

# %% [markdown]
# ## Train it
# A few epochs, four voices to learn from, two new ones to test. The epoch is fixed: the last.

# %%
train, test = np.flatnonzero(~np.isin(speaker, ["s5", "s6"])), np.flatnonzero(speaker >= "s5")
model = make_model("timnet", epochs=10, n_dilations=4, filters=16, learning_rate=0.01,
                   batch_size=16)  # fmt: skip
fit(model, frames[train], y[train], speaker[train])
guess = model.predict(frames[test])
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot([epoch["train_loss"] for epoch in model[-1].history_])
ax.axhline(np.log(4), color="black", ls=":", label="knowing nothing")
ax.set(title="training", xlabel="epoch (number)", ylabel="loss (nat)")
ax.legend()
plt.show()

# %% [markdown]
# **10.3** Which UAR has it on the two new voices?

# %%
answer_3 = None
print(check("10.3", answer_3, of=(y[test], guess)))

# %% [markdown]
# ## Watch it decide
# Everything behind the streams is linear, so each frame has an opinion of its own. A gate is
# sigmoid(h) of an h that came out of a ReLU.

# %%
clip = test[0]
net = model[-1].module_
x = torch.as_tensor(np.asarray(model[:-1].transform(frames[[clip]]).values))[None]
lengths = torch.tensor([x.shape[1]])
with torch.no_grad():
    of_frames, of_clip = net.frame_logits(x, lengths)[0].numpy(), net(x, lengths)[0].numpy()
    gates = net.explanation(x, lengths)["gate_forward"][0].numpy()
t = HOP * np.arange(len(of_frames))
fig, (top, bottom) = plt.subplots(2, figsize=(9, 5), sharex=True, layout="constrained")
top.plot(t, of_frames, label=labels)
bottom.plot(t, gates)
top.set(title=f"a clip of {y[clip]}", xlabel="time (s)", ylabel="opinion (logit)")
bottom.set(title="mean gate", xlabel="time (s)", ylabel="gate (1)")
top.legend(fontsize=8)
plt.show()

# %% [markdown]
# **10.4** What is the smallest value that a gate of TIM-Net can have?
#
# **10.5** Compute the 4 logits of the clip from those of its frames, `of_frames` (compare with
# `of_clip`).

# %%
answer_4 = None
print(check("10.4", answer_4))
answer_5 = None  # an array of 4 values
print(check("10.5", answer_5, of=of_frames))

# %% [markdown]
# ## Remember
# Gaps that double: few layers see seconds. Two directions, all scales, a learnt weighting of them.
#
# ## Where it goes wrong in practice
# The published scores are of random folds and the **best epoch on the test fold**. Clips padded to
# one length teach a network the length. "Causal" ends where something is averaged over the clip.
