"""Numbers as the page prints them: one form for each kind, an en dash for what is not known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

UNKNOWN = "–"


def known(value: Any) -> bool:
    """Whether there is a finite number."""
    return value is not None and not isinstance(value, str) and math.isfinite(value)


def decimals(values: Iterable[float]) -> int:
    """Decimal places, as in the terminal table: two for points of a hundred, four for shares and losses."""
    return 2 if max((abs(value) for value in values if known(value)), default=0.0) >= 10 else 4


def number(value: float | None, places: int = 4, sign: bool = False) -> str:
    """`0.2047`, `+0.0504`, `−0.0329` with a true minus."""
    if not known(value):
        return UNKNOWN
    assert value is not None
    text = f"{value:+,.{places}f}" if sign else f"{value:,.{places}f}"
    return text.replace("-", "−")


def count(value: float | None) -> str:
    """`1,439`; a mean over runs is rounded to a whole."""
    return number(value, 0)


def seconds(value: float | None) -> str:
    """Seconds, one decimal below a hundred: `1.7`, `3,214`."""
    return number(value, 1 if known(value) and abs(value or 0.0) < 99.95 else 0)


def interval(low: float, high: float, places: int, sign: bool = True) -> str:
    """`+0.0123 to +0.0885`; empty where either end is unknown."""
    if not (known(low) and known(high)):
        return ""
    return f"{number(low, places, sign)} to {number(high, places, sign)}"


def p_value(value: float) -> str:
    """Three decimals, and never zero."""
    if not known(value):
        return UNKNOWN
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def compact(value: Any) -> Any:
    """As JSON takes it and small: six significant digits, None for what is not finite."""
    if isinstance(value, dict):
        return {str(name): compact(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [compact(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    return float(f"{float(value):.6g}") if math.isfinite(value) else None
