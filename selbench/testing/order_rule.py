"""Whether the order of a pool matters: scores that are given to positions, and chance that prefers some positions."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from selbench.api import Pool, Selection
from selbench.errors import NotApplicable
from selbench.testing.findings import NotTested, expect

SEEDS = 12
FEWEST = 4  # with fewer seeds nothing can be told
SECONDS = 15.0
# A finding needs both: far outside chance, and large. A selector without any preference is refused once in 10^8.
STANDARD_ERRORS = 6.0
SHIFT = 0.1  # of the pool


def scores_are_of_examples(one: Selection, other: Selection, where: str) -> None:
    """Raises Finding if both selections, of a whole pool and of the pool shuffled, give the same scores to other examples.

    Then scores that are equal where two choices part are no tie: they belong to positions. Scores that depend on what was
    picked before, as gains do, may change for some examples after a tie, but not for most while all their values stay.
    """
    if one.scores is None or other.scores is None or set(one.ids) != set(other.ids):
        return
    first, second = (dict(zip(chosen.ids, np.asarray(chosen.scores, np.float64))) for chosen in (one, other))
    here, there = np.array(list(first.values())), np.array([second[id] for id in first])
    moved = ~np.isclose(here, there, rtol=1e-4)
    if np.allclose(np.sort(here), np.sort(there), rtol=1e-4) and moved.mean() > 0.5:
        id = one.ids[int(np.flatnonzero(moved)[0])]
        expect(
            False,
            "that an example has the same score wherever it stands in the pool",
            f"{id!r} scores {first[id]:.6g}, and in the shuffled pool {second[id]:.6g}; {int(moved.sum())} of "
            f"{len(moved)} examples have another score",
            where,
        )


def positions_do_not_matter(pool: Pool, choose: Callable[[Pool, int], Selection], where: str) -> None:
    """Raises Finding if examples are chosen because they stand early or late in the pool.

    The chosen examples' mean position, from 0 (first) to 1 (last), in the pool and in the pool reversed must add up to
    1 on average over seeds: what is preferred for what it says stands early in the one and as late in the other. Raises
    NotTested where ties, which go to the earlier example, or slow selections leave too little to look at.
    """
    backwards = Pool(list(pool)[::-1], pool.name)
    positions: list[tuple[float, float]] = []
    end = time.monotonic() + SECONDS
    tied = False
    for seed in range(SEEDS):
        if time.monotonic() > end:
            break
        try:
            pair = [choose(part, seed) for part in (pool, backwards)]
        except NotApplicable as reason:
            raise NotTested(f"the selector does not apply to these examples: {reason}") from reason
        if len(pair[0].ids) in (0, len(pool)):
            return
        for chosen in pair:
            scores = chosen.scores
            tied |= scores is not None and len(np.unique(np.asarray(scores, np.float64))) < len(scores)
        one, other = (
            float(np.mean([part.position(str(id)) for id in chosen.ids]))
            for part, chosen in zip((pool, backwards), pair)
        )
        positions.append((one / (len(pool) - 1), other / (len(pool) - 1)))
    if len(positions) < FEWEST:
        raise NotTested(
            f"it draws by chance, and {len(positions)} pairs of selections took {SECONDS:.0f} s: too few to tell"
        )
    sums = np.asarray(positions).sum(1) - 1
    error = float(sums.std(ddof=1) / np.sqrt(len(sums)))
    shift = float(sums.mean()) / 2
    if abs(shift) < SHIFT or abs(2 * shift) <= STANDARD_ERRORS * error:
        return
    if tied:
        raise NotTested("it draws by chance and its scores have ties, which go to the earlier example")
    expect(
        False,
        "that an example's position makes it neither more nor less likely to be chosen",
        f"over {len(positions)} seeds the chosen examples stand on average at {0.5 + shift:.0%} of the pool, whichever way "
        "round it is, instead of 50%",
        where,
    )
