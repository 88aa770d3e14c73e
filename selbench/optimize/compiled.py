"""Compiling a kernel with numba; the machine code is cached on disk if a folder can be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(*signatures: str) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles a function for these signatures alone, at the time its module is imported.

    numba caches the machine code beside the source, or in its own folder under the home directory. If neither can be
    written (a read-only installation without a home), numba refuses to cache, and every process compiles anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(list(signatures), cache=True, nogil=True)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(list(signatures), nogil=True)(function)

    return decorate
