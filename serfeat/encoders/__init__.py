"""Pretrained speech encoders: the hidden states of wav2vec 2.0, HuBERT, WavLM and Whisper.

An encoder is a directory as `transformers` writes it: ``config.json``, ``preprocessor_config.json``
and the weights as safetensors (no pickle is read). It is looked for as given, then in the folder
``SERFEAT_ENCODERS``. Nothing is fetched unless the user gives the name of a repository of the
Hugging Face hub (``owner/name``) instead of a directory.

Conventions
-----------
* **Weights or an error.** A weight that the file lacks would be drawn at random, with no more than
  a warning; here it is a `ModelError`. (One that takes part in training only, the vector that
  replaces masked frames, may be absent.)
* **One clip at its own length.** Clips are never padded into a batch: what a clip gets does not
  depend on its neighbours. Whisper was trained on 30 s windows and pads to them; here its table of
  positions is cut to the clip instead, which is many times less work. Both ways give different
  values (the padding is attended to): this is another feature than the padded one.
* **Long clips in pieces.** Beyond `LONGEST` positions (30 s) a clip is cut into as few equal
  pieces as it takes, each as if it were a clip of its own; no position is lost at the seams. For
  Whisper 30 s is the limit of the model, for the others it bounds the memory of attention.
* **Input** is mono at the encoder's rate, in [-1, 1]. Where the preprocessor's ``do_normalize``
  says so, the whole clip is brought to mean 0 and variance 1 first.
* **Position i** begins at sample ``i * hop``. The wav2vec family's reaches over 25 ms from there,
  ``(n - 400) // 320 + 1`` positions in n samples; Whisper's two convolutions see 62.5 ms around
  it, ``n // 320`` positions. Shorter clips have none.
* **State 0** is the input of the first transformer layer, state k the output of layer k, and the
  last one ``last_hidden_state``: after the final layer norm, where the network has one.
* **Float32**, also where half precision is stored; CPU threads are torch's own (OMP_NUM_THREADS).

Contents
--------
`load_encoder`, `Encoder`         : a network and its states.
`encoder_columns`, `EncoderColumns` : a layer of it as columns of a feature set.
`architecture`, `Architecture`    : its shape, read without loading it.

Sources
-------
[1] A. Baevski et al., "wav2vec 2.0", NeurIPS 2020.
[2] W.-N. Hsu et al., "HuBERT", IEEE/ACM TASLP 29, 2021.
[3] S. Chen et al., "WavLM", IEEE JSTSP 16(6), 2022.
[4] A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023.
"""

from __future__ import annotations

from serfeat.encoders.columns import EncoderColumns, encoder_columns
from serfeat.encoders.files import KINDS, LONGEST, Architecture, architecture, hop_and_reach
from serfeat.encoders.network import Encoder, load_encoder

__all__ = [
    "KINDS",
    "LONGEST",
    "Architecture",
    "Encoder",
    "EncoderColumns",
    "architecture",
    "encoder_columns",
    "hop_and_reach",
    "load_encoder",
]
