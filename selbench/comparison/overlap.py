"""Which examples two sides selected, and how much they share beyond chance."""

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
    """The selections: means over seeds of the counts; `jaccard` shared / union, `chance` for random picks as large.

    `top_a` and `top_b` are the ids that one side chose and the other did not: in most seeds first, then best first.
    """

    a: float
    b: float
    shared: float
    only_a: float
    only_b: float
    jaccard: float
    chance: float
    top_a: tuple[str, ...] = ()
    top_b: tuple[str, ...] = ()


def selection_overlap(a: Side, b: Side, runs: Path, pool_size: int | None) -> Overlap | None:
    """None where the two selected from different pools, or nothing."""
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
    """Ids that one side alone chose under a seed: under most seeds first, then the best placed."""
    times: Counter[str] = Counter()
    place: dict[str, int] = {}
    for mine, theirs in zip(own, others):
        foreign = set(theirs)
        for rank, id in enumerate(mine):
            if id not in foreign:
                times[id] += 1
                place[id] = min(rank, place.get(id, rank))
    return tuple(sorted(times, key=lambda id: (-times[id], place[id], id)))
