"""Build the notebooks of the labs from their percent-format files.

``python labs/build.py -o build/notebooks`` writes one ``.ipynb`` for each ``NN_name.py``, without
outputs and the same bytes every time (cell ids are counted, not drawn). The notebooks are made for
a release and not kept in the repository; the files beside this one are the source.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

__all__ = ["build", "labs", "notebook"]

HERE = Path(__file__).resolve().parent
MARK = re.compile(r"^# %%[ ]*(\[markdown\])?[ ]*$", re.MULTILINE)


def labs() -> list[Path]:
    """The labs, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def cells(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, source) of the cells of a percent-format file; kind "markdown" or "code"."""
    marks = list(MARK.finditer(text))
    ends = [m.start() for m in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        source = text[mark.end() : end].strip("\n")
        if mark[1]:
            source = "\n".join(re.sub(r"^# ?", "", line) for line in source.split("\n"))
        yield ("markdown" if mark[1] else "code"), source


def notebook(lab: Path) -> nbformat.NotebookNode:
    """Make the notebook of a lab."""
    made = []
    for i, (kind, source) in enumerate(cells(lab.read_text(encoding="utf-8"))):
        make = new_markdown_cell if kind == "markdown" else new_code_cell
        cell = make(source)  # type: ignore[no-untyped-call]
        cell["id"] = f"{lab.stem[:2]}-{i}"
        made.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    found: nbformat.NotebookNode = new_notebook(  # type: ignore[no-untyped-call]
        cells=made, metadata={"kernelspec": kernel}
    )
    nbformat.validate(found)
    return found


def build(folder: Path) -> list[Path]:
    """Write the notebooks of all labs into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for lab in labs():
        path = folder / f"{lab.stem}.ipynb"
        text = nbformat.writes(notebook(lab))  # type: ignore[no-untyped-call]
        path.write_text(f"{text}\n", encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/notebooks"))
    build(parser.parse_args().output)
