"""What the site has beyond docs/: the API, and the pages that live at the top of the repository.

MkDocs calls `on_config`, `on_files` and `on_page_markdown`. Nothing is written outside the site's
own folder.
"""

from __future__ import annotations

import posixpath
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from made.modules import anchors, api_pages  # noqa: E402  (beside this file)

ROOT = HERE.parent
# Page of the site -> the file of the repository that it is.
ELSEWHERE = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "teaching.md": "labs/README.md",
}
TITLES = {"serfeat88": "serfeat88", "emodb": "EMO-DB", "scale": "Scale"}  # of results in the menu
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


@cache
def _api() -> dict[str, str]:
    return api_pages()


@cache
def _anchors() -> dict[str, str]:
    return anchors()


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def on_config(config: Any) -> Any:
    """Fill in what the menu calls results/* and api/*, and pages that other hands add."""
    nav = []
    for entry in config["nav"]:
        (title, held), *_ = entry.items()
        if held == "results/*":
            pages = sorted((HERE / "results").glob("*.md"))
            nav.append({title: [{_title(p.stem): f"results/{p.name}"} for p in pages]})
        elif held == "api/*":
            nav.append({title: [{text[2:].splitlines()[0]: name} for name, text in _api().items()]})
        else:
            nav.append(entry)
    guides = next(entry["Guides"] for entry in nav if "Guides" in entry)
    named = {page for entry in guides for page in entry.values()}
    for name in ("scale.md", "encoders.md"):
        if (HERE / name).exists() and name not in named:
            guides.append({_title(name.removesuffix(".md")): name})
    config["nav"] = nav
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for name, text in _api().items():
        files.append(File.generated(config, name, content=text))
    for name, source in ELSEWHERE.items():
        path = ROOT / source
        text = path.read_text(encoding="utf-8") if path.exists() else f"# {_title(name[:-3])}\n"
        files.append(File.generated(config, name, content=text))
    return files


def _target(link: str, page: str) -> str | None:
    """Where a link of the repository leads on the site; None: to something that is not on it."""
    base = posixpath.dirname(ELSEWHERE.get(page, f"docs/{page}"))
    path = posixpath.normpath(posixpath.join(base, link))
    at_home = {source: name for name, source in ELSEWHERE.items()} | {"README.md": "index.md"}
    if path in at_home:
        return at_home[path]
    if path.startswith("docs/"):
        inside = path.removeprefix("docs/")
        return None if inside.endswith((".py", ".toml")) or inside == "made" else inside
    return _anchors().get(path)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links that leave docs/ into links of the site, or into plain words."""
    here = page.file.src_uri
    fences = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)

    def turned(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        if not link or link.startswith(("http:", "https:", "mailto:")):
            return match[0]
        found = _target(link, here) if here not in _api() else link
        if found is None:
            return text if text.startswith("`") else f"`{text}`"
        name, _hash, own = found.partition("#")
        start = posixpath.dirname(here) or "."
        return f"[{text}]({posixpath.relpath(name, start)}{f'#{own}' if own else anchor})"

    return "".join(f if f.startswith("```") else LINK.sub(turned, f) for f in fences)
