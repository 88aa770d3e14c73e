"""Numbers as the page prints them: those of selbench.numbers, with a true minus."""

from __future__ import annotations

from functools import partial

from selbench import numbers

number_text = partial(numbers.number_text, minus=numbers.TRUE_MINUS)
signed_text = partial(numbers.signed_text, minus=numbers.TRUE_MINUS)
signed_percent_text = partial(numbers.signed_percent_text, minus=numbers.TRUE_MINUS)
interval_text = partial(numbers.interval_text, minus=numbers.TRUE_MINUS)
