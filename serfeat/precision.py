"""float32 that is float32, on a GPU too.

From NVIDIA's Ampere on, cuDNN multiplies float32 in TF32 unless it is told not to: with 10 bits of
mantissa, three decimal digits. Features and scores would then depend on the card.

Contents
--------
`exact_float32` : convolutions and recurrent layers in float32 for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["exact_float32"]


@contextmanager
def exact_float32() -> Iterator[None]:
    """Let torch's convolutions and recurrent layers multiply float32 as float32 for a while."""
    from torch.backends import cudnn

    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before
