# %% [markdown]
# # 11 AM-ResNet and cross attention
# **You will see** that zeros do not stay zeros in a network, how a mask keeps silence silent, and
# how two descriptions of one clip can question each other. Needs: lab 10. About 40 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from serfeat.demo import utterance
from serfeat.heads.am_resnet import AMResNet
from serfeat.heads.amrwc import Interaction
from serfeat.labs import check
from serfeat.vad import madd

spoken = utterance("s1", "anger", "t3")
sr = spoken.sr

# %% [markdown]
# ## Silence
# MADD sets samples to 0 where the signal does not move. Those zeros mean "nothing was said".

# %%
muted = madd(spoken.x, sr)
t = np.arange(len(spoken.x)) / sr
fig, ax = plt.subplots(figsize=(9, 2.8), layout="constrained")
ax.plot(t, spoken.x, lw=0.4, color="gray")
ax.fill_between(t, -0.3, 0.3, where=~muted.speech, color="C1", alpha=0.3, label="silence")
ax.set(title="what MADD mutes", xlabel="time (s)", ylabel="pressure (full scale 1)")
ax.legend()
plt.show()

# %% [markdown]
# ## With and without the mask
# Batch normalisation subtracts a mean: 0 becomes something. We add silence behind the clip and
# watch two networks that differ in the mask alone (untrained; only their statistics have settled).

# %%
seconds = np.arange(0, 4.1, 0.5)
clip = torch.tensor(muted.x, dtype=torch.float32)


def logits_of(variant):
    """(9, 4) logits with 0 to 4 s of silence behind the clip."""
    torch.manual_seed(1)
    net = AMResNet(1, 4, width=16, variant=variant)
    lengths = torch.tensor([len(clip)])
    for _ in range(30):
        net(clip[None, :, None], lengths)
    net.eval()
    found = []
    with torch.no_grad():
        for s in seconds:
            longer = torch.cat([clip, torch.zeros(int(s * sr))])[None, :, None]
            found.append(net(longer, torch.tensor([longer.shape[1]]))[0].numpy())
    return np.array(found)


masked, plain = logits_of("mr"), logits_of("resnet")
fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for ax, values, name in zip(axes, (masked, plain), ("with mask", "without"), strict=True):
    ax.plot(seconds, values - values[0], "o-", ms=3)
    ax.set(title=name, xlabel="added silence (s)", ylabel="change of the logits (1)")
plt.show()

# %% [markdown]
# **11.1** How large is the largest change of a logit *with* the mask, from 0 to 4 s of silence?
#
# **11.2** And without it?

# %%
answer_1 = None
print(check("11.1", answer_1, of=masked))
answer_2 = None
print(check("11.2", answer_2, of=plain))

# %% [markdown]
# ## Cross attention, by hand
# Branch A has 5 positions, branch W has 9. Each position of A asks all of W:
# $\mathrm{softmax}(Q_A K_W^\top / \sqrt{d})\, V_W$: Q asks, K offers, V is what is said.

# %%
rng = np.random.default_rng(0)
Q, K, V = rng.normal(size=(5, 8)), rng.normal(size=(9, 8)), rng.normal(size=(9, 8))

# %% [markdown]
# **11.3** Compute the weights, the softmax part. **11.4** Compute the answers, (5, 8).
#
# **11.5** What would every answer be if all scores were equal: (a) zero, (b) the mean of V, (c) the
# largest of V?

# %%
answer_3 = None  # an array (5, 9)
print(check("11.3", answer_3, of=(Q, K, V)))
answer_4 = None  # an array (5, 8)
print(check("11.4", answer_4, of=(Q, K, V)))
answer_5 = None  # "a", "b" or "c"
print(check("11.5", answer_5))

# %%
torch.manual_seed(0)
layer = Interaction(8, heads=1, dropout=0.0, concatenated=True).eval()
own, other = torch.tensor(Q, dtype=torch.float32)[None], torch.tensor(K, dtype=torch.float32)[None]
with torch.no_grad():
    silent = torch.arange(9)[None] < 6  # the last three positions of W are silence
    weights = layer.weights(own, other, silent)[0, 0].numpy()
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
fig.colorbar(ax.imshow(weights, cmap="viridis", vmin=0), label="weight (1)")
ax.set(title="the network's layer: silence is not asked", xlabel="position of W (number)",
       ylabel="position of A (number)")  # fmt: skip
plt.show()

# %% [markdown]
# ## Remember
# A mask goes along with the signal through every layer. Attention is a weighted mean.
#
# ## Where it goes wrong in practice
# Padding that is not masked makes a clip's result depend on its neighbours in the batch. A bright
# spot in an attention map says where a network looked, **not why it decided**.
