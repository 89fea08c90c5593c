"""docs/heads.md: every network, what flows through it, how large it is, and what it scored."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from made.docstrings import body, first
from made.markdown import page, table
from serfeat.heads import HEADS, SOURCES, make_head

__all__ = ["INPUTS", "heads"]

# What is fed to each: columns, frames, and the parameters that such an input needs.
INPUTS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "mlp": (594, 1, {}),
    "dbn": (594, 1, {}),
    "dcrn": (160, 100, {"n_samples": 160}),
    "amrwc": (39 + 384, 200, {"n_encoder": 384}),
    "layer_weights": (5 * 384, 100, {"n_layers": 5}),
}
USUAL: tuple[int, int, dict[str, Any]] = (39, 200, {})
CLASSES = 7
MEASURED = {  # head -> entries of docs/results/heads.md
    "rnn": ("rnn", "lstm", "gru"),
    "article_cnn": ("cnn",),
    "timnet": ("timnet", "timnet_causal"),
}
INTRODUCTION = """\
A head is a `torch.nn.Module` that takes frames `(batch, frames, columns)` and lengths, and
returns logits `(batch, classes)`. In evaluation, padding of any length changes nothing; a clip
alone and in a batch gets the same answer; every parameter gets a gradient; the same seed gives
the same weights: one test holds all heads to that. How they are trained:
[training](training.md). All models side by side: [thirty years of classifiers on the same
held-out speakers](results/heads.md).

The tables show what one clip becomes on its way (frames or positions x columns), with 7 classes
and the head's own sizes. "UAR" is that of whole EMO-DB, leave one speaker out, the weights of
the last epoch; see there for what it took."""


def _shape(value: Any) -> str:
    """Sizes of an output of one clip, the batch left out."""
    if isinstance(value, nn.utils.rnn.PackedSequence):
        value = value.data.unsqueeze(0)
    if isinstance(value, tuple | list):
        tensors = [v for v in value if isinstance(v, Tensor | nn.utils.rnn.PackedSequence)]
        return _shape(tensors[0]) if tensors else ""
    if not isinstance(value, Tensor):
        return ""
    return " x ".join(str(n) for n in value.shape[1:]) or "1"


def _parts(head: nn.Module) -> list[tuple[str, nn.Module]]:
    """The pieces of a network that a reader wants named: children, and the members of lists."""
    found: list[tuple[str, nn.Module]] = []
    for name, child in head.named_children():
        if isinstance(child, nn.ModuleList | nn.Sequential | nn.ModuleDict):
            found += [(f"{name}.{inner}", m) for inner, m in child.named_children()]
        else:
            found.append((name, child))
    return found


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _flow(name: str) -> tuple[list[tuple[str, ...]], nn.Module]:
    """(part, kind, what comes out, parameters) in the order in which they are run; all of them."""
    columns, frames, params = INPUTS.get(name, USUAL)
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    head = make_head(name, columns, CLASSES, **params).eval()
    rows: list[tuple[str, ...]] = [("part", "kind", "what comes out", "parameters")]
    rows.append(("input", "", f"{frames} x {columns}", ""))
    seen: set[str] = set()

    def watch(part: str, module: nn.Module) -> Any:
        def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if part not in seen:
                seen.add(part)
                size = f"{_count(module):,}" if _count(module) else ""
                rows.append((f"`{part}`", type(module).__name__, _shape(output), size))

        return module.register_forward_hook(note)

    hooks = [watch(part, module) for part, module in _parts(head)]
    with torch.no_grad():
        x = torch.randn(1, frames, columns, generator=torch.Generator().manual_seed(1))
        head(x, torch.tensor([frames]))
    for hook in hooks:
        hook.remove()
    torch.set_rng_state(torch_state)
    # What is not called as a module, only by its weights or its methods: no order and no output.
    for part, module in _parts(head):
        if part not in seen and _count(module):
            rows.append((f"`{part}`", type(module).__name__, "", f"{_count(module):,}"))
    for label, parameter in head.named_parameters(recurse=False):
        rows.append((f"`{label}`", "weights", "", f"{parameter.numel():,}"))
    rows.append(("logits", "", str(CLASSES), ""))
    return rows, head


def _measured(name: str, results: str) -> str:
    rows: list[tuple[str, ...]] = [("entry", "features", "epochs", "UAR", "95 % interval")]
    for entry in MEASURED.get(name, (name,)):
        line = re.search(rf"^\| {entry}(?: \([^|]*\))? \|(.*)\|$", results, flags=re.MULTILINE)
        if line and "**" in line[1]:  # the table of scores, not that of costs
            rows.append((entry, *[c.strip() for c in line[1].split("|")][:4]))
    if len(rows) == 1:
        return "Not measured on EMO-DB's held-out speakers yet."
    return table(*rows)


def _parameters(name: str) -> str:
    given = list(inspect.signature(HEADS[name]).parameters.values())[2:]
    return ", ".join(f"`{p.name}` {p.default!r}" for p in given)


def _section(name: str, results: str, described: set[str]) -> str:
    rows, head = _flow(name)
    made = inspect.getmodule(HEADS[name])
    assert made is not None
    file = f"serfeat/heads/{made.__name__.rpartition('.')[2]}.py"
    parts = [f"## `{name}`"]
    if made.__name__ in described:  # two networks of one file
        parts += [first(HEADS[name].__doc__)]
    else:
        parts += [first(made.__doc__), body(made.__doc__)]
    described.add(made.__name__)
    parts += [
        f"Source: {SOURCES[name]}. Code: [{file}](../{file}).",
        f"**{_count(head):,} parameters.** Its own settings: {_parameters(name)}.",
        table(*rows),
        _measured(name, results),
    ]
    return "\n\n".join(p for p in parts if p)


def heads() -> str:
    """docs/heads.md."""
    results = Path(__file__).parent.parent / "results" / "heads.md"
    text = results.read_text(encoding="utf-8")
    described: set[str] = set()
    contents = ", ".join(f"[`{n}`](#{n})" for n in HEADS)
    sections = [_section(n, text, described) for n in HEADS]
    return page("# Heads", INTRODUCTION, contents, *sections)
