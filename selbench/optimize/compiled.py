"""Compiling a kernel with numba, kept on disk where the disk can be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile for exactly this one signature, when the module is imported.

    Machine code is kept beside the source, or in numba's own folder under the home directory. Where neither can
    be written (a read-only installation without a home) numba refuses to cache, and we compile in every process.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, cache=True, nogil=True)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(signature, nogil=True)(function)

    return decorate
