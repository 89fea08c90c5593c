"""Numbers and names as text, the same on the page, in Markdown and in a terminal.

Conventions
-----------
Scores are 0..1 and shown in percent, differences in points, "–" is "not defined". Minus signs are
real ones (U+2212). Names come from strangers: `visible` shows control characters as escapes, so
that no name can rewrite a terminal or reverse the text around it; HTML is escaped by the template,
not here.

Contents
--------
`visible` : a name. `percent` `points` `interval` `decimals` `p_value` : scores. `quantity` : any
    number.
"""

from __future__ import annotations

import numpy as np

__all__ = ["decimals", "interval", "p_value", "percent", "points", "quantity", "visible"]


def visible(text: object) -> str:
    """Text with every control, bidirectional or other unprintable character as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in str(text)
    )


def percent(value: float, digits: int = 1) -> str:
    """0..1 as per cent without the sign: 0.7412 -> "74.1"."""
    return f"{100 * value:.{digits}f}" if np.isfinite(value) else "–"


def points(value: float) -> str:
    """A difference in points with its sign: -0.021 -> "−2.1"."""
    text = f"{100 * value:+.1f}" if np.isfinite(value) else "–"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """An interval in percent or points: "[66.2, 80.1]"."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "[not defined]"
    show = points if signed else percent
    return f"[{show(low)}, {show(high)}]"


def decimals(value: float) -> str:
    """A score that is no percentage, with 3 decimals: -0.0312 -> "−0.031"."""
    return f"{value:.3f}".replace("-", "−") if np.isfinite(value) else "–"


def p_value(p: float) -> str:
    """A p-value with 3 decimals: 0.0312 -> "0.031", 0.0002 -> "< 0.001"."""
    if not np.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def quantity(value: float, digits: int = 3) -> str:
    """A number with 3 digits, thousands apart: 1234567 -> "1 234 567", 0.01234 -> "0.0123"."""
    if not np.isfinite(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.{digits}g}"
