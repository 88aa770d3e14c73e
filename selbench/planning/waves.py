"""The two waves of a sweep under a launcher: first the stages that several cells share, then the cells; and their time."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selbench.declare import inner_features
from selbench.held import held_selectors, inner_selections
from selbench.planning.demands import Cell, Demand, Grid
from selbench.planning.plan import Plan, Waves
from selbench.run.features import FeatureStage
from selbench.run.inputs import load_target, pool_of
from selbench.run.select import SelectionStage, make_budget
from selbench.run.shard_stages import ShardStage, shards_of

SHARED = ("tokens", "lengths", "leaks", "autoencoder", "features", "selection")  # kinds that the first wave computes
FEATURES = ("autoencoder", "features")  # those of them that are features


@dataclass(frozen=True)
class SharedStage:
    """A stage of the first wave, which the store lacks: one that several cells share, or a shard of a feature."""

    kind: str
    key: str  # in the store, or a stand-in
    label: str  # for people
    cells: tuple[int, ...]  # the numbers (from 0) of the cells that need it
    after: tuple[int, ...]  # the positions of the stages that it waits for, in the list of all
    shards: int = 1  # of a shard: how many its feature has


def shared_stages(grid: Grid) -> list[SharedStage]:
    """The stages of the first wave, each after those that it waits for."""
    runs = {cell.number: cell for cell in grid.cells if cell.runs}
    shards = _missing_shards(grid)
    wanted = {}
    for key, demand in grid.demands.items():
        cells = sorted({number for number in demand.cells if number in runs} | set(_borrowers(demand, grid)))
        if demand.stage not in SHARED or demand.cached or not cells:
            continue
        # Cells of one key are one run: whichever comes second finds the record of the first.
        if len({runs[number].key for number in cells}) > 1 or _is_cut(grid, key, shards):
            wanted[key] = cells
    order = sorted(wanted, key=lambda key: SHARED.index(key[0]))
    # Within a kind those come first that others are built on: demands are in the order in which a cell asks for them,
    # but for the selections that others hold.
    order.sort(key=lambda key: (SHARED.index(key[0]), len(_held(grid.demands[key].plugin))))
    stages: list[SharedStage] = []
    place: dict[tuple[str, str], int] = {}
    for key in order:
        label, places = grid.demands[key].label, tuple(number - 1 for number in wanted[key])
        below = tuple(sorted(place[other] for other in place if _needs(grid, key, other, wanted)))
        first = len(stages)
        for shard in shards.get(key, ()):
            about = f"{label}, {shard.shard + 1} of {shard.of}"
            stages.append(SharedStage(shard.kind, shard.key, about, places, below, shard.of))
        place[key] = len(stages)
        stages.append(SharedStage(*key, label, places, (*below, *range(first, len(stages)))))
    return stages


def _missing_shards(grid: Grid) -> dict[tuple[str, str], list[ShardStage]]:
    """The features that are computed in shards, by kind and key, each with those of its shards that the store lacks."""
    missing = {key: demand for key, demand in grid.demands.items() if key[0] in FEATURES and not demand.cached}
    cut = {
        key: (demand.run, shards_of(key[1], demand.plugin, demand.run.feature_shards))
        for key, demand in missing.items()
    }
    return {
        key: [shard for shard in shards if not grid.has(run, shard.kind, shard.key)]
        for key, (run, shards) in cut.items()
        if shards
    }


def _is_cut(grid: Grid, key: tuple[str, str], shards: Mapping[tuple[str, str], object]) -> bool:
    """Whether a feature is computed in shards, or is one that such a feature is built on: both are jobs whoever needs them."""
    return key in shards or (key[0] in FEATURES and any(_is_inner(grid.demands[cut], key) for cut in shards))


def _held(plugin: object) -> list[object]:
    return held_selectors(plugin) if getattr(plugin, "plugin_kind", "") == "selector" else []


def _borrowers(demand: Demand, grid: Grid) -> list[int]:
    """The cells whose selector asks for this selection of another one."""
    if demand.stage != "selection" or demand.cached or not demand.exact:
        return []
    return [cell.number for cell in grid.cells if cell.runs and demand.id in _borrowed(cell)]


def _borrowed(cell: Cell) -> set[str]:
    """The keys of the selections that a cell's selector asks for, where its budget is known without counting tokens."""
    run = cell.run
    if run.budget_unit != "examples" or not held_selectors(run.selector):
        return set()
    budget = make_budget(run.selector, cell.pool, run.budget, run.budget_unit, None)
    asked = inner_selections(run.selector, budget) if budget is not None else []
    stages = (SelectionStage(held, cell.pool, part, run.scorer, load_target(run), run.seed) for held, part in asked)
    return {stage.key for stage in stages}


def _needs(grid: Grid, key: tuple[str, str], other: tuple[str, str], wanted: dict[tuple[str, str], list[int]]) -> bool:
    """Whether a stage waits for another one: of a lower kind in a cell of its own, or one that it is built on."""
    demand, below = grid.demands[key], grid.demands[other]
    if key[0] == "selection" and other[0] in ("tokens", "autoencoder", "features"):
        return bool(set(wanted[key]) & set(wanted[other]))
    if key[0] in FEATURES and other[0] in FEATURES:
        return _is_inner(demand, other)
    if key[0] == other[0] == "selection":
        asking = [cell for cell in grid.cells if cell.number in demand.cells and cell.runs]
        return below is not demand and any(other[1] in _borrowed(cell) for cell in asking)
    return False


def _is_inner(demand: Demand, other: tuple[str, str]) -> bool:
    """Whether another feature, by kind and key, is one that a feature is built on."""
    pool = pool_of(demand.run).pool
    inner = (FeatureStage(spec, pool, demand.run.scorer) for spec in inner_features(demand.plugin))
    return any((stage.kind, stage.key) == other for stage in inner)


def waves_of(plan: Plan, shared: Sequence[SharedStage], workers: int) -> Waves:
    """The waves of a planned sweep on so many workers, each of which carries out one job after the other.

    Stages without an estimate of their time take none.
    """
    seconds = {(stage.stage, stage.id): stage.seconds or 0.0 for stage in plan.stages if stage.status == "to run"}
    first = _first_seconds(shared, seconds)
    cells, running = [], [cell for cell in plan.cells if cell.runs]
    for cell in running:  # a stage of several cells that is in no first wave counts in the first cell
        own = [key for key in seconds if key[1] in cell.stages]
        cells.append(sum(seconds.pop(key) for key in own))
    return Waves(
        workers=workers,
        stages=len(shared),
        shards=sum(stage.shards > 1 for stage in shared),
        stages_s=makespan(first, [stage.after for stage in shared], workers),
        cells=len(running),
        cells_s=makespan(cells, [()] * len(cells), workers),
    )


def _first_seconds(shared: Sequence[SharedStage], seconds: dict[tuple[str, str], float]) -> list[float]:
    """The seconds of each stage of the first wave, which are taken out of `seconds`.

    A shard takes its share of those of its feature, for which merging is left: that takes no time to speak of.
    """
    first: list[float] = []
    for stage in shared:
        whole = seconds.pop((stage.kind, stage.key), 0.0)
        shards = [number for number in stage.after if shared[number].shards > 1]
        for number in shards:
            first[number] = whole / shared[number].shards
        first.append(0.0 if shards else whole)
    return first


def makespan(seconds: Sequence[float], after: Sequence[Sequence[int]], workers: int) -> float:
    """When the last of the jobs ends, if each free worker takes the first job whose predecessors have ended."""
    left, now = list(range(len(seconds))), 0.0
    ended: set[int] = set()
    running: list[tuple[float, int]] = []
    while left or running:
        for job in [job for job in left if ended >= set(after[job])]:
            if len(running) < workers:
                heapq.heappush(running, (now + seconds[job], job))
                left.remove(job)
        now, job = heapq.heappop(running)
        ended.add(job)
    return now
