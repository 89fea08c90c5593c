"""The exception tree.

Every error that serfeat raises on purpose is a `SerfeatError` and also the builtin that a caller
would expect (`AudioError` is a `ValueError`), so that ``except ValueError`` works without knowing
serfeat. A message says where, what was found, what was expected and what to do, in one line; the
library raises, and only the command line catches (exit code 2, no traceback).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AudioError",
    "CorpusError",
    "EngineError",
    "FeatureError",
    "ManifestError",
    "MissingExtraError",
    "ModelError",
    "RecipeError",
    "SerfeatError",
    "SplitError",
    "StoreError",
    "UnknownNameError",
    "did_you_mean",
    "printable",
]


def printable(text: str) -> str:
    """Escape what would break a line or rewrite a terminal: names come from strangers."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class SerfeatError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    message : what was found and what was expected.
    where : the file, row, column or option that it is about; printed first.
    code : a short kebab-case name of the fault (``"too-short"``), stable for programs; it is the
        ``reason`` of the failures table.
    fix : what the user can do about it; printed last.
    """

    def __init__(self, message: str, *, where: object = "", code: str = "", fix: str = "") -> None:
        self.message = message
        self.where = str(where)
        self.code = code
        self.fix = fix
        super().__init__(message)

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        line = f"{head}; {self.fix}" if self.fix else head
        return printable(line)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries by pickle, which forgets keyword-only arguments.
        state = {"where": self.where, "code": self.code, "fix": self.fix}
        return (self.__class__, (self.message,), state)


class AudioError(SerfeatError, ValueError):
    """A recording that cannot be read or must not be trusted."""


class ManifestError(SerfeatError, ValueError):
    """A manifest with a missing column, an unknown label, a duplicate row, ..."""


class CorpusError(SerfeatError, ValueError):
    """A corpus folder that is missing, incomplete, changed or not what its card says."""


class FeatureError(SerfeatError, ValueError):
    """A descriptor, functional or feature set that cannot be computed as asked."""


class StoreError(SerfeatError, OSError):
    """A table that cannot be written, or one that was written but cannot be trusted."""


class EngineError(SerfeatError, RuntimeError):
    """Workers that cannot be reached, or that are not what this process is."""


class SplitError(SerfeatError, ValueError):
    """A protocol that the manifest's speakers, texts or labels do not support."""


class ModelError(SerfeatError, ValueError):
    """A model that cannot be trained, stored, read or applied."""


class RecipeError(SerfeatError, ValueError):
    """A recipe with an unknown word, a missing part or a value out of range."""


class MissingExtraError(SerfeatError, ImportError):
    """An optional package that is not installed; the message names the extra."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """Make the error for `package`, which `pip install serfeat[extra]` brings."""
        return cls(
            f"{purpose} needs the package {package}, which is not installed",
            code="missing-extra",
            fix=f"pip install 'serfeat[{extra}]'",
        )


class UnknownNameError(SerfeatError, KeyError):
    """A name that is in none of serfeat's tables; the message suggests the nearest one."""


def did_you_mean(
    kind: str, name: object, known: Iterable[str], *, where: object = ""
) -> UnknownNameError:
    """Make the error for an unknown `name` of a `kind`, with the nearest known name.

    >>> print(did_you_mean("feature set", "clasic", ["classic", "full"]))
    unknown feature set 'clasic'; did you mean 'classic'? Known: classic, full
    """
    names = sorted(known)
    folded = {n.lower(): n for n in names}
    found = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
    near = [folded[f] for f in found]
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UnknownNameError(
        f"unknown {kind} {str(name)!r}",
        where=where,
        code="unknown-name",
        fix=f"{hint}Known: {', '.join(names)}",
    )
