"""Exit codes: what a script that calls serfeat may know without reading.

Contents
--------
`GOOD` ... `INTERRUPTED` : the numbers; those above 64 are sysexits.h's.
`exit_code`              : of an error.
`after_failures`         : of a run that ended with some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from serfeat.errors import CorpusError, ManifestError, ModelError, SerfeatError, StoreError

if TYPE_CHECKING:
    from serfeat.clips import Failure

__all__ = [
    "AGAIN",
    "BUG",
    "CANNOT_CREATE",
    "DATA",
    "DIFFERENT",
    "DISK",
    "GOOD",
    "INTERRUPTED",
    "USAGE",
    "after_failures",
    "exit_code",
]

GOOD = 0
DIFFERENT = 1  # `store diff` and `lint` have found something
USAGE = 2  # a word, an option, a recipe, a path; and recordings that failed, above the limit
DATA = 65  # EX_DATAERR: a manifest, table, model or store that cannot be trusted
BUG = 70  # EX_SOFTWARE
CANNOT_CREATE = 73  # EX_CANTCREAT
DISK = 74  # EX_IOERR: full, over its quota, or failing; what is committed is kept
AGAIN = 75  # EX_TEMPFAIL: part is done, and the same command goes on
INTERRUPTED = 130  # as shells report Ctrl-C

# The one table: first the error's code, then its class; what is in neither is USAGE. Programs of
# this kind often give 1 where some inputs failed; the rule of this house is older: a recording that
# cannot be read, and a recipe, a name or a column that is not there, are 2.
BY_CODE = {
    "cannot-create": CANNOT_CREATE,
    "disk-full": DISK,
    "disk-fault": DISK,
    "io": DISK,
    "open-files": DISK,
    "changed": AGAIN,
    "pool-lost": AGAIN,
    "memory": AGAIN,
    "damaged": AGAIN,
    # A path or a word that was typed, not what is in a file
    "missing": USAGE,
    "missing-folder": USAGE,
    "unreadable": USAGE,
    "unknown-format": USAGE,
    "not-a-model": USAGE,
    "no-file": USAGE,
    "no-speaker": USAGE,
    "no-emotion": USAGE,
    "no-such-value": USAGE,
    "bad-shard": USAGE,
    "too-many-missing": USAGE,
    "same-corpus": USAGE,
    "bad-parameter": USAGE,
    "bad-setting": USAGE,
    "not-fetched": USAGE,
    "checksum": DATA,
    "bad-card": DATA,
    "other-format": DATA,
    "untrusted-type": DATA,
}
BY_CLASS: dict[type[SerfeatError], int] = {
    ManifestError: DATA,
    StoreError: DATA,
    CorpusError: USAGE,
    ModelError: USAGE,
}

# Failures of a clip that lie in the machine or the moment: the next run tries them again.
_PASSING = {"changed", "io", "crash", "timeout", "memory"}


def exit_code(error: SerfeatError) -> int:
    """Exit code of a command that ended with an error."""
    if error.code in BY_CODE:
        return BY_CODE[error.code]
    return next((code for kind, code in BY_CLASS.items() if isinstance(error, kind)), USAGE)


def after_failures(failures: Sequence[Failure], most: int) -> int:
    """Exit code of a run with failures, of which `most` are no reason to worry."""
    if len(failures) <= most:
        return GOOD
    return AGAIN if all(f.reason in _PASSING for f in failures) else USAGE
