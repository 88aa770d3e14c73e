"""Finds the smallest pool that shows what a check has found."""

from __future__ import annotations

import time
from collections.abc import Callable

from selbench.api import Pool
from selbench.testing.example_pools import summary
from selbench.testing.findings import Finding, Raised

SECONDS = 8.0  # of searching, at most; a smaller pool that takes longer to find is not looked for
STEPS = (1, 2, 3, 5, 8, 13, 20)


def over_pool(pool: Pool, probe: Callable[[Pool], None]) -> None:
    """Run `probe` on a pool. A Finding that it raises is raised again as the one of the smallest pool that shows it."""
    try:
        probe(pool)
    except Finding as finding:
        found, shown = smallest(pool, probe, finding)
        found.smallest = summary(shown)
        raise found from finding.__cause__


def smallest(pool: Pool, probe: Callable[[Pool], None], finding: Finding) -> tuple[Finding, Pool]:
    """The finding on the smallest pool found within SECONDS, and that pool: a beginning of `pool`, then with gaps."""
    end = time.monotonic() + SECONDS

    def finds(examples: list[int]) -> Finding | None:
        try:
            probe(Pool([pool[i] for i in examples], pool.name))
        except Finding as other:
            return other if _same_failure(other, finding) else None
        except Exception:  # another complaint of a smaller pool is not this one
            return None
        return None

    kept = list(range(len(pool)))
    for size in STEPS:
        if size >= len(pool) or time.monotonic() > end:
            break
        if found := finds(kept[:size]):
            finding, kept = found, kept[:size]
            break
    gone = True
    while gone and len(kept) > 1 and time.monotonic() < end:
        gone = False
        for i in list(kept):
            if time.monotonic() > end or len(kept) == 1:
                break
            rest = [j for j in kept if j != i]
            if found := finds(rest):
                finding, kept, gone = found, rest, True
    return finding, Pool([pool[i] for i in kept], pool.name)


def _same_failure(one: Finding, other: Finding) -> bool:
    """Whether two findings are the same complaint: both an error of one type, or neither an error."""
    if isinstance(one, Raised) and isinstance(other, Raised):
        return type(one.error) is type(other.error)
    return type(one) is type(other)
