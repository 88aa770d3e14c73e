"""Numbers as a person reads them: one form for each kind of number, an en dash for an unknown one.

Terminal, Markdown and HTML page print through these functions, so that a number reads the same everywhere. One thing
differs: the page passes `minus=TRUE_MINUS`, while text that may be copied into a program keeps the hyphen.
JSON and CSV, which programs read, hold the full values and do not go through this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

UNKNOWN = "–"
TRUE_MINUS = "−"
# A smaller p value is printed as `< 0.001`: its digits would depend on how well the test's assumptions hold in the
# far tail of the distribution.
SMALLEST_P = 0.001


def is_known(value: Any) -> bool:
    """Whether the value is a finite number: not None, text, NaN or infinite."""
    return value is not None and not isinstance(value, str) and math.isfinite(value)


def decimals(values: Iterable[float]) -> int:
    """How many decimal places suit these scores: two if the largest is 10 or more (points of 100), else four (shares).

    All scores of a table share the answer, so that they align; without a known score it is four.
    """
    return 2 if max((abs(value) for value in values if is_known(value)), default=0.0) >= 10 else 4


def number_text(value: float | None, places: int = 4, *, minus: str = "-") -> str:
    """`0.2047`, `-12.50`, `1,439.0`."""
    return _fixed(value, f",.{places}f", places, minus)


def signed_text(value: float | None, places: int = 4, *, minus: str = "-") -> str:
    """A difference with its sign: `+0.0504`, `-0.0329`; zero, and a value that rounds to zero, is `+0.0000`."""
    return _fixed(value, f"+,.{places}f", places, minus)


def _fixed(value: float | None, form: str, places: int, minus: str) -> str:
    if value is None or not is_known(value):
        return UNKNOWN
    # Adding 0.0 turns -0.0, which a small negative value rounds to, into 0.0: nobody wants to read "-0.0000".
    return format(round(float(value), places) + 0.0, form).replace("-", minus)


def interval_text(low: float, high: float, places: int, *, sign: bool = True, minus: str = "-") -> str:
    """An interval in a cell of its own: `+0.0123 to +0.0885`; empty if either end is unknown."""
    if not (is_known(low) and is_known(high)):
        return ""
    text = signed_text if sign else number_text
    return f"{text(low, places, minus=minus)} to {text(high, places, minus=minus)}"


def bracket_text(low: float, high: float, places: int, *, minus: str = "-") -> str:
    """An interval that follows its difference: `[+0.0123, +0.0885]`; empty if either end is unknown."""
    if not (is_known(low) and is_known(high)):
        return ""
    return f"[{signed_text(low, places, minus=minus)}, {signed_text(high, places, minus=minus)}]"


def p_text(value: float | None) -> str:
    """A p value in three decimals, and never zero: `0.070`, `< 0.001`."""
    if value is None or not is_known(value):
        return UNKNOWN
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.3f}"


def percent_text(share: float) -> str:
    """A share from 0 to 1 in percent, with as many digits as it has: `95 %`, `99.5 %`."""
    return f"{100 * share:g} %" if is_known(share) else UNKNOWN


def signed_percent_text(share: float, *, minus: str = "-") -> str:
    """A relative difference (0.031) in percent with its sign: `+3.1 %`."""
    return f"{signed_text(100 * share, 1, minus=minus)} %" if is_known(share) else UNKNOWN


def count_text(value: float | None, *, minus: str = "-") -> str:
    """A count: `1,439`; a mean of counts is rounded to a whole number."""
    return number_text(value, 0, minus=minus)


def counted_text(value: float, noun: str, plural: str = "") -> str:
    """A count with what it counts: `1 comparison`, `1,439 comparisons`; `plural` for a noun that takes more than an s."""
    text = count_text(value)
    return f"{text} {noun if text == '1' else plural or f'{noun}s'}"


def compact_count_text(value: float | None) -> str:
    """A count in three significant digits: `812`, `34k`, `5.6M`, `1.2B`; zero is printed as unknown."""
    if value is None or not is_known(value) or not value:
        return UNKNOWN
    for limit, unit, mark in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= limit:
            return f"{value / unit:.3g}{mark}"
    return count_text(value)


def digits_text(value: float | None, digits: int = 6) -> str:
    """A value of any size in `digits` significant digits, with an exponent if it needs one: `0.8125`, `2e-05`."""
    return f"{value:,.{digits}g}" if is_known(value) else UNKNOWN


def two_digits_text(value: float) -> str:
    """A value in two significant digits, never with an exponent: `0.0041`, `12`."""
    if not is_known(value):
        return UNKNOWN
    places = max(0, 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{places}f}"


def flops_text(value: float | None) -> str:
    """A number of floating-point operations: `2.63e+12`."""
    return f"{value:.3g}" if is_known(value) else UNKNOWN


def size_text(bytes: float) -> str:
    """A size in bytes, in units of powers of ten: `812 B`, `40 kB`, `1.3 MB`."""
    for limit, mark in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if bytes >= limit:
            return f"{bytes / limit:.1f} {mark}"
    return f"{bytes / 1e3:.0f} kB" if bytes >= 1e3 else f"{bytes:.0f} B"


def seconds_text(value: float | None, *, minus: str = "-") -> str:
    """Seconds for a column that names the unit, with one decimal below a hundred: `1.7`, `3,214`."""
    return number_text(value, 1 if is_known(value) and abs(value or 0.0) < 99.95 else 0, minus=minus)


def duration_text(seconds: float) -> str:
    """A duration in seconds, printed with the unit that suits it: `40 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def money_text(amount: float | None, currency: str) -> str:
    """An amount of money, with cents below a hundred: `3.20 EUR`, `1,240 EUR`."""
    if amount is None or not is_known(amount):
        return UNKNOWN
    return f"{amount:,.{2 if amount < 100 else 0}f} {currency}"
