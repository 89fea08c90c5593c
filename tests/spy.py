"""Looks for the test labels in everything that a model can reach while it is being fitted.

Run as ``python spy.py ORDERS FINDINGS``. ORDERS is a pickled list, deleted when read, of dicts:
*task*; *digest*, of the test labels; *words*, all labels, which a model may know; *plant*, what the
parent wants hidden, to see it found, and *secret*, the labels to hide (None and None). Each task
goes through `serfeat.compare.fitting.train_and_predict` as in a worker of a comparison, and what
was found is written to FINDINGS: for each order a JSON list of words.

The spy does not hold what it looks for. It knows the SHA-256 of the labels' *pattern* (each
label by the place of its first occurrence: fear fear joy -> 0 0 2), so that codes, other names
and one-hot rows are found like the words themselves.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import mmap
import os
import pickle
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 5000  # values of a sequence that is looked at: the corpora of these tests have 100 rows
FEW = 12  # different values that labels can have
READ = (list, tuple, dict, str, bytes, bytearray, mmap.mmap, np.ndarray)


def digest_of(values: Iterable[Any]) -> str:
    """SHA-256 of a pattern."""
    first: dict[Any, int] = {}
    return hashlib.sha256(
        repr([first.setdefault(v, i) for i, v in enumerate(values)]).encode()
    ).hexdigest()


@dataclass
class Spy:
    """See the module."""

    digest: str
    words: Sequence[str]
    test: Any

    def holds(self, values: Sequence[Any]) -> bool:
        """Whether the labels are in a sequence: at the test rows' places, or in one run."""
        n, classes = len(self.test), len(self.words)
        if not n <= len(values) <= LONGEST:
            return False
        try:
            if not classes <= len(set(values)) <= FEW:
                return False
        except TypeError:  # not hashable: no labels
            return False
        values = list(values)
        chosen = [values[i] for i in self.test] if max(self.test) < len(values) else []
        windows = (values[i : i + n] for i in range(len(values) - n + 1))
        alike = (v for v in (chosen, *windows) if len(set(v)) == classes)
        return any(digest_of(v) == self.digest for v in alike)

    def sequences(self, thing: Any) -> Iterator[Sequence[Any]]:
        """What a thing can be read as."""
        if isinstance(thing, list | tuple):
            yield thing
        elif isinstance(thing, dict):
            yield list(thing.values())
        elif isinstance(thing, str | bytes | bytearray | mmap.mmap):
            if 3 * len(self.test) <= len(thing) < 5_000_000:  # a label has three letters or more
                text = thing if isinstance(thing, str) else bytes(thing[:]).decode("latin-1")
                yield re.findall("|".join(map(re.escape, self.words)), text)
        elif isinstance(thing, np.ndarray):
            yield from self.columns(thing)
        elif type(thing).__module__ == "pyarrow.lib" and hasattr(thing, "to_pylist"):
            yield thing.to_pylist()

    def columns(self, array: Any) -> Iterator[Sequence[Any]]:
        """Columns of an array, and the place of the largest value of each row (one-hot, shares)."""
        if not 1 <= array.ndim <= 2 or not len(self.test) <= len(array) <= LONGEST:
            return
        if array.dtype.names is not None:
            return
        table = np.asarray(array).reshape(len(array), -1)
        if (
            table.shape[1] <= FEW
            and table.dtype.kind in "fiub"
            and not np.isnan(table.astype(float)).any()
        ):
            yield table.argmax(axis=1).tolist()
        for column in table.T[:2000]:
            yield column.tolist()

    def reach(self) -> Iterator[tuple[str, Any]]:
        """Everything in memory: containers, what they refer to, frames, environment."""
        frame = sys._getframe(1)
        while frame is not None:
            for name, value in list(frame.f_locals.items()):
                yield from self.inside(f"frame {frame.f_code.co_name}, {name}", value, 3)
            frame = frame.f_back
        yield "environment", "\n".join(os.environ.values())
        yield "arguments", "\n".join(sys.argv)
        shortest, seen = 3 * len(self.test), set()
        for thing in gc.get_objects():
            for inner in (thing, *gc.get_referents(thing)):
                kind = type(inner)
                if not issubclass(kind, READ) and kind.__module__ != "pyarrow.lib":
                    continue
                if (kind is str and len(inner) < shortest) or id(inner) in seen:
                    continue
                seen.add(id(inner))
                yield from self.inside(f"in an object, {type(thing).__name__}", inner, 3)

    def inside(self, where: str, thing: Any, depth: int) -> Iterator[tuple[str, Any]]:
        """A thing, what it refers to where that is tracked nowhere, and what it is a view of."""
        if isinstance(thing, np.ndarray):
            yield where, thing
            if thing.base is not None:
                yield from self.inside(f"{where}.base", thing.base, depth)
            return
        if not issubclass(type(thing), READ) or len(thing) >= len(self.test):
            yield where, thing
        if depth and isinstance(thing, tuple | list | dict):
            for inner in list(thing.values()) if isinstance(thing, dict) else thing:
                if issubclass(type(inner), READ) and not gc.is_tracked(inner):
                    yield from self.inside(where, inner, depth - 1)

    def files(self, folder: Path) -> Iterator[tuple[str, Any]]:
        """Everything in a folder, read as what it is."""
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if path.suffix == ".npy":
                yield f"file {path.name}", np.load(path)
            elif path.suffix == ".parquet":
                import pandas as pd

                for name, column in pd.read_parquet(path).items():
                    yield f"file {path.name}, {name}", column.tolist()
            yield f"file {path.name}", path.read_bytes()

    def look(self, folder: Path) -> list[str]:
        """Where the labels are, in words."""
        return [
            where
            for where, thing in itertools.chain(self.files(folder), self.reach())
            if any(self.holds(values) for values in self.sequences(thing))
        ]


def hide(plant: str | None, secret: Any, task: Any) -> Any:
    """Hide the labels where a real leak would have them; return what must stay alive."""
    if plant == "view of all labels":
        whole = np.concatenate([task.known.truth, secret])
        object.__setattr__(task.known, "truth", whole[: len(task.known.truth)])
    elif plant == "list in a frame":
        return [str(v) for v in secret]
    elif plant == "codes in a dict":
        json.__dict__["_rows"] = {i: hash(v) for i, v in enumerate(secret)}
    elif plant == "environment":
        os.environ["MY_ROWS"] = ",".join(secret)
    return None


def train(order: dict[str, Any]) -> list[str]:
    """Train one task; where the labels were during its first fit."""
    from serfeat.compare.fitting import train_and_predict
    from serfeat.models.classical import NearestNeighbours

    task = order["task"]
    kept = hide(order["plant"], order.pop("secret"), task)
    spy = Spy(order["digest"], order["words"], task.fold.test.tolist())
    found: list[list[str]] = []
    fit = NearestNeighbours.fit

    def spied(self: Any, X: Any, y: Any, groups: Any = None) -> Any:
        if not found:
            found.append(spy.look(task.part.parent.parent))
        return fit(self, X, y, groups)

    NearestNeighbours.fit = spied  # type: ignore[method-assign]
    try:
        error = train_and_predict(task)
    finally:
        NearestNeighbours.fit = fit  # type: ignore[method-assign]
    del kept
    json.__dict__.pop("_rows", None)
    os.environ.pop("MY_ROWS", None)
    if error is not None:
        raise error
    return found[0]


def main(orders_file: str, findings_file: str) -> None:
    """Read the orders, follow them one by one, and write what was found."""
    orders = pickle.loads(Path(orders_file).read_bytes())
    Path(orders_file).unlink()
    orders.reverse()
    found = []
    while orders:
        found.append(train(orders.pop()))
    Path(findings_file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
