"""Where a training runs: its device, threads and random state, the last two given back after it.

Contents
--------
`resolve_device`   : a torch device that is there.
`threads`          : torch's CPU threads for a while.
`own_random_state` : torch's random state for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from serfeat.errors import ModelError

__all__ = ["own_random_state", "resolve_device", "threads"]


def resolve_device(name: str) -> torch.device:
    """Resolve ``"auto"`` (a GPU if there is one).

    Raises
    ------
    ModelError : no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {name!r}: {reason}", code="no-device", fix="use 'cpu'") from None
    return device


@contextmanager
def threads(n: int | None) -> Iterator[None]:
    """Let torch use n threads for a while."""
    before = torch.get_num_threads()
    if n is not None:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def own_random_state(device: torch.device, seed: int) -> Iterator[None]:
    """Weights and dropout draw from `seed`; the caller's random state is restored afterwards."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        if gpus:
            with torch.cuda.device(device):  # it seeds the present one
                torch.cuda.manual_seed(seed)
        yield
