"""Numbers as a person reads them: one form for each kind, an en dash for what is not known.

Terminal, Markdown and page print through these functions, so that a figure reads the same everywhere. They differ in
one thing: the page passes `minus=TRUE_MINUS`, text that may be copied into a program keeps the hyphen.
Numbers that programs read (JSON, CSV) are not printed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

UNKNOWN = "–"
TRUE_MINUS = "−"
# Below this a p value is printed as smaller, because its digits depend on the test's assumptions holding far out.
SMALLEST_P = 0.001


def is_known(value: Any) -> bool:
    """Whether there is a finite number."""
    return value is not None and not isinstance(value, str) and math.isfinite(value)


def decimals(values: Iterable[float]) -> int:
    """Decimal places for scores like these: two for points of a hundred, four for shares and losses."""
    return 2 if max((abs(value) for value in values if is_known(value)), default=0.0) >= 10 else 4


def number_text(value: float | None, places: int = 4, *, minus: str = "-") -> str:
    """`0.2047`, `-12.50`, `1,439.0`."""
    return _fixed(value, f",.{places}f", places, minus)


def signed_text(value: float | None, places: int = 4, *, minus: str = "-") -> str:
    """A difference: `+0.0504`, `-0.0329`; zero, and what is rounded to it, is `+0.0000`."""
    return _fixed(value, f"+,.{places}f", places, minus)


def _fixed(value: float | None, form: str, places: int, minus: str) -> str:
    if value is None or not is_known(value):
        return UNKNOWN
    return format(round(float(value), places) + 0.0, form).replace("-", minus)  # -0.0 + 0.0 is 0.0


def interval_text(low: float, high: float, places: int, *, sign: bool = True, minus: str = "-") -> str:
    """`+0.0123 to +0.0885`; empty where either end is unknown."""
    if not (is_known(low) and is_known(high)):
        return ""
    text = signed_text if sign else number_text
    return f"{text(low, places, minus=minus)} to {text(high, places, minus=minus)}"


def bracket_text(low: float, high: float, places: int, *, minus: str = "-") -> str:
    """`[+0.0123, +0.0885]`, where an interval follows its difference; empty where either end is unknown."""
    if not (is_known(low) and is_known(high)):
        return ""
    return f"[{signed_text(low, places, minus=minus)}, {signed_text(high, places, minus=minus)}]"


def p_text(value: float | None) -> str:
    """A p value in three decimals, and never zero: `0.070`, `< 0.001`."""
    if value is None or not is_known(value):
        return UNKNOWN
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.3f}"


def percent_text(share: float) -> str:
    """`95 %`, `99.5 %`, with the digits that the share has."""
    return f"{100 * share:g} %" if is_known(share) else UNKNOWN


def signed_percent_text(share: float, *, minus: str = "-") -> str:
    """A relative difference: `+3.1 %`."""
    return f"{signed_text(100 * share, 1, minus=minus)} %" if is_known(share) else UNKNOWN


def count_text(value: float | None, *, minus: str = "-") -> str:
    """`1,439`; a mean over runs is rounded to a whole."""
    return number_text(value, 0, minus=minus)


def compact_count_text(value: float | None) -> str:
    """`812`, `34k`, `5.6M`, `1.2B`, in three significant digits; a dash for none."""
    if value is None or not is_known(value) or not value:
        return UNKNOWN
    for limit, unit, mark in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= limit:
            return f"{value / unit:.3g}{mark}"
    return count_text(value)


def digits_text(value: float | None, digits: int = 6) -> str:
    """A value of any size in so many significant digits, with an exponent where it needs one: `0.8125`, `2e-05`."""
    return f"{value:,.{digits}g}" if is_known(value) else UNKNOWN


def two_digits_text(value: float) -> str:
    """Two significant digits, never an exponent: `0.0041`, `12`."""
    if not is_known(value):
        return UNKNOWN
    places = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{places}f}"


def flops_text(value: float | None) -> str:
    """Floating-point operations: `2.63e+12`."""
    return f"{value:.3g}" if is_known(value) else UNKNOWN


def size_text(bytes: float) -> str:
    """`812 B`, `40 kB`, `1.3 MB`, in powers of ten."""
    for limit, mark in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if bytes >= limit:
            return f"{bytes / limit:.1f} {mark}"
    return f"{bytes / 1e3:.0f} kB" if bytes >= 1e3 else f"{bytes:.0f} B"


def seconds_text(value: float | None, *, minus: str = "-") -> str:
    """Seconds without their unit, one decimal below a hundred: `1.7`, `3,214`."""
    return number_text(value, 1 if is_known(value) and abs(value or 0.0) < 99.95 else 0, minus=minus)


def duration_text(seconds: float) -> str:
    """A time with its unit: `40 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def money_text(amount: float | None, currency: str) -> str:
    """`3.20 EUR`, `1,240 EUR`."""
    if amount is None or not is_known(amount):
        return UNKNOWN
    return f"{amount:,.{2 if amount < 100 else 0}f} {currency}"
