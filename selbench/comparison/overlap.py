"""The overlap of the selections of two sides, beside the overlap expected by chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selbench.comparison.sides import Side
from selbench.statistics.chance import expected_jaccard
from selbench.store.files import read_json
from selbench.store.records import SELECTION, Record


@dataclass(frozen=True)
class Overlap:
    """The overlap of two sides' selections; counts and indices are means over seeds."""

    a: float  # examples that a selected
    b: float  # examples that b selected
    shared: float  # examples that both selected
    only_a: float
    only_b: float
    jaccard: float  # shared / union
    chance: (
        float  # the Jaccard index expected of random selections of the same sizes; NaN if the pool's size is unknown
    )
    top_a: tuple[str, ...] = ()  # ids that a alone selected, those of the most seeds first, then the best ranked
    top_b: tuple[str, ...] = ()  # ids that b alone selected, in the same order


def selection_overlap(a: Side, b: Side, runs: Path, pool_size: int | None) -> Overlap | None:
    """The overlap of the sides' selections, seed by seed; None if their pools differ or a run selected nothing.

    `runs` is the folder that holds the folders of the records, `pool_size` the number of examples in the pool.
    """
    if not a.setting.shares_pool(b.setting):
        return None
    chosen = [[_selected_ids(runs, record) for record in side.records] for side in (a, b)]
    if not all(ids for side in chosen for ids in side):
        return None
    pairs = [(set(one), set(other)) for one, other in zip(*chosen)]
    shared = [len(one & other) for one, other in pairs]
    union = [len(one | other) for one, other in pairs]
    chance = math.nan
    if pool_size:
        chance = float(np.mean([expected_jaccard(len(one), len(other), pool_size) for one, other in pairs]))
    return Overlap(
        a=float(np.mean([len(one) for one, _ in pairs])),
        b=float(np.mean([len(other) for _, other in pairs])),
        shared=float(np.mean(shared)),
        only_a=float(np.mean([len(one - other) for one, other in pairs])),
        only_b=float(np.mean([len(other - one) for one, other in pairs])),
        jaccard=float(np.mean([hit / every for hit, every in zip(shared, union)])),
        chance=chance,
        top_a=_ids_of_one_side(chosen[0], chosen[1]),
        top_b=_ids_of_one_side(chosen[1], chosen[0]),
    )


def _selected_ids(runs: Path, record: Record) -> list[str]:
    found = read_json(runs / record.key / SELECTION)
    return [str(id) for id in found["ids"]] if found else []


def _ids_of_one_side(own: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The ids that `own` selected and `others` did not under the same seed: most seeds first, then the best ranked."""
    times: Counter[str] = Counter()
    place: dict[str, int] = {}
    for mine, theirs in zip(own, others):
        foreign = set(theirs)
        for rank, id in enumerate(mine):
            if id not in foreign:
                times[id] += 1
                place[id] = min(rank, place.get(id, rank))
    return tuple(sorted(times, key=lambda id: (-times[id], place[id], id)))
