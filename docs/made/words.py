"""docs/glossary.md from docs/glossary.toml: the field's words in English and Chinese."""

from __future__ import annotations

import tomllib
from pathlib import Path

from made.markdown import page, slug

__all__ = ["Term", "glossary", "terms"]

Term = tuple[str, str, str, str, str]  # English, Chinese, a sentence in each, where more is

INTRODUCTION = """\
The documents that this project started from are Chinese; the field publishes in English. One exact
sentence in each, and a link to where serfeat uses the word.

本项目所依据的文献为中文，而该领域的论文多用英文发表。每个术语均以中英文各一句话准确说明，并附文档中相关之处的链接。"""


def terms() -> dict[str, list[Term]]:
    """Section -> its terms, as written."""
    file = Path(__file__).parent.parent / "glossary.toml"
    sections = tomllib.loads(file.read_text(encoding="utf-8"))["sections"]
    return {title: [(*map(str, term),) for term in held] for title, held in sections.items()}  # type: ignore[misc]


def _heading(english: str, chinese: str) -> str:
    return f"{english} {chinese}"


def _index(sections: dict[str, list[Term]]) -> str:
    lines = []
    for title, held in sections.items():
        shown = " · ".join(f"[{zh}](#{slug(_heading(en, zh))})" for en, zh, *_ in held)
        lines.append(f"- **{title}**: {shown}")
    return "\n".join(lines)


def glossary() -> str:
    """docs/glossary.md."""
    sections = terms()
    parts = []
    for title, held in sections.items():
        parts.append(f"## {title}")
        for english, chinese, meaning, same, link in held:
            parts.append(f"### {_heading(english, chinese)}")
            parts.append(f"{meaning} {same} [→]({link})")
    return page("# Glossary 术语表", INTRODUCTION, _index(sections), *parts)
