"""What the readers share: labels that stand in file names, and the corpus' own tables.

A reader says how a file is called, and `named_files` finds the files, refuses strangers and copies
that hold every recording twice (two much-used mirrors of RAVDESS and TESS do).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from serfeat.errors import CorpusError
from serfeat.files import audio_files

__all__ = ["named_files", "read_table"]


def named_files(
    root: Path, pattern: str, *, corpus: str, layout: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Find the audio below `root` whose name follows the corpus' rule.

    Parameters
    ----------
    pattern : regular expression with named groups, matched against the end of the path without its
        suffix (``Actor_01/03-01-05-...``), upper and lower case alike; the groups together are the
        recording's identity.
    layout : an example of the layout, for the message.

    Yields
    ------
    (file relative to root, groups), sorted by file.

    Raises
    ------
    CorpusError : no such folder, no audio, a file that breaks the rule, a recording found twice.
    """
    if not root.is_dir():
        raise CorpusError("not a folder", where=root, code="missing-folder")
    files = audio_files(root)
    if not files:
        raise CorpusError(
            f"no audio of {corpus} below this folder",
            where=root,
            code="no-audio",
            fix=f"expected {layout}",
        )
    rule = re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)
    matches = [(f, rule.fullmatch(str(PurePosixPath(f).with_suffix("")))) for f in files]
    strangers = [f for f, match in matches if match is None]
    if strangers:
        raise CorpusError(
            f"{len(strangers)} of {len(files)} audio files are not named as in {corpus}, "
            f"the first is {strangers[0]!r}",
            where=root,
            code="strange-name",
            fix=f"expected {layout}; move other files elsewhere",
        )
    seen: dict[tuple[str, ...], str] = {}
    for file, match in matches:
        if match is None:  # cannot be: see above
            continue
        first = seen.setdefault(tuple(g or "" for g in match.groups()), file)
        if first != file:
            raise CorpusError(
                f"the same recording twice: {first!r} and {file!r}",
                where=root,
                code="doubled-copy",
                fix="remove the second copy (some mirrors hold the whole corpus twice)",
            )
        yield file, {key: value or "" for key, value in match.groupdict().items()}


def read_table(path: Path, *, key: str = "file") -> dict[str, Mapping[str, str]]:
    """Read a corpus' own CSV: stem of `key` -> row, all cells text; empty where there is no file.

    Raises
    ------
    CorpusError : the column `key` is missing.
    """
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if key not in (reader.fieldnames or ()):
            raise CorpusError(f"no column {key!r}", where=path, code="bad-table")
        return {PurePosixPath(row[key]).stem: row for row in reader}
