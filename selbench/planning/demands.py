"""From the cells of a grid to its distinct stages: which there are, which are in the store, which would be made.

Keys come from the functions that the steps themselves use. Where a key depends on a selection that is not made yet,
a stand-in (a "?" and a hash) takes its place: the same for cells that are bound to share the stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selbench.api import Budget, Pool
from selbench.declare import features_needed
from selbench.models import fingerprint
from selbench.run.evaluate import EvaluationStage
from selbench.run.features import FeatureStage
from selbench.run.identity import new_record, run_axes
from selbench.run.inputs import load_pool, load_target
from selbench.run.leak_check import LeakStage
from selbench.run.select import SelectionStage, context_seed, make_budget
from selbench.run.tokens import TokenCounts
from selbench.run.train import TrainingStage
from selbench.run.training_lengths import TrainingLengths
from selbench.settings import Run
from selbench.store.files import read_json
from selbench.store.inventory import stage_path
from selbench.store.keys import digest, plugin_identity
from selbench.store.outputs import Outputs
from selbench.store.records import SELECTION, Record, Records
from selbench.store.stages import MANIFEST


@dataclass
class Demand:
    """One distinct stage and the cells (numbers) that rest on it. `plugin` does it: a selector, a feature spec, a
    trainer, a suite; None for token counts. `picks` is how many examples it selects or trains on, `positions` which."""

    stage: str
    id: str
    label: str
    run: Run
    plugin: Any = None
    cached: bool = False
    exact: bool = True
    picks: float = 0.0
    positions: np.ndarray | None = None
    cells: list[int] = field(default_factory=list)


@dataclass
class Cell:
    """One cell, its record as far as there is one, and what its selection is keyed by."""

    number: int
    run: Run
    key: str
    name: str
    record: Record | None

    @property
    def runs(self) -> bool:
        """Whether the sweep would run it: what has a record is run again only as `reuse` and `retry` say."""
        if self.record is None or self.run.reuse == "none":
            return True
        return self.record.status != "finished" and self.run.retry in (self.record.status, "all")

    @property
    def pool(self) -> Pool:
        return load_pool(self.run.pool).pool


class Grid:
    """The cells of a sweep and the distinct stages they rest on. All runs share one output folder."""

    def __init__(self, runs: Sequence[Run], chars_per_token: float = 4.0) -> None:
        outputs = Outputs(runs[0].output_dir)
        self.root = outputs.store
        self.chars_per_token = chars_per_token
        self.demands: dict[tuple[str, str], Demand] = {}
        self.cells = [_cell(number, run, outputs.records) for number, run in enumerate(runs, 1)]
        for cell in self.cells:
            if cell.runs:
                self._run(cell)
            elif cell.record:
                self._recorded(cell, cell.record)
        self._drop_idle()

    def of(self, cell: Cell) -> list[Demand]:
        """The stages one cell rests on."""
        return [demand for demand in self.demands.values() if cell.number in demand.cells]

    def _recorded(self, cell: Cell, record: Record) -> None:
        for name, id in record.stages.items():
            stage, _, label = name.partition("/")
            self._ask(cell, Demand(stage, id, label or cell.name, cell.run, cached=True))

    def _run(self, cell: Cell) -> None:
        run, pool = cell.run, cell.pool
        key = TokenCounts(pool, run.model).key
        counted, label = self._has(run, "tokens", key), f"{pool.name} as {run.model.name} reads it"
        self._ask(cell, Demand("tokens", key, label, run, cached=counted))
        self._leaks(cell)
        budget, exact = self._budget(cell)
        if budget is None:
            return self._evaluations(cell, fingerprint(run.model), True, 0)
        measured = TrainingLengths(pool, run.model).key
        self._ask(cell, Demand("lengths", measured, label, run, cached=self._has(run, "lengths", measured)))
        selection = self._selection(cell, budget, exact)
        positions = selection.positions if selection.cached else None
        if positions is not None:
            positions = np.sort(budget.take(positions))
        elif budget.limit == budget.costs.sum():
            positions = np.arange(len(pool))
        return self._training(cell, selection, positions, budget)

    def _leaks(self, cell: Cell) -> None:
        run, target = cell.run, load_target(cell.run)
        for name, suite in run.suites.items():
            key = LeakStage(cell.pool, target, suite).key
            self._ask(cell, Demand("leaks", key, name, run, suite, cached=self._has(run, "leaks", key)))

    def _budget(self, cell: Cell) -> tuple[Budget | None, bool]:
        """The budget, and whether it is the very one: response tokens may not have been counted yet."""
        run, pool = cell.run, cell.pool
        if run.budget_unit != "tokens" or not run.selector.takes_budget:
            return make_budget(run.selector, pool, run.budget, run.budget_unit, None), True
        counted = self.response_tokens(cell.run)
        if counted is None:
            guess = [max(1, round(len(example.response) / self.chars_per_token)) for example in pool]
            return make_budget(run.selector, pool, run.budget, run.budget_unit, np.asarray(guess)), False
        return make_budget(run.selector, pool, run.budget, run.budget_unit, counted), True

    def response_tokens(self, run: Run) -> np.ndarray | None:
        """N integers, if the responses of the pool have been counted with this model's tokenizer."""
        key = TokenCounts.of(run).key
        path = self.root / "tokens" / key / "tokens.npy"
        return np.load(path) if self._has(run, "tokens", key) else None

    def _selection(self, cell: Cell, budget: Budget, exact: bool) -> Demand:
        run, pool = cell.run, cell.pool
        key = SelectionStage(run.selector, pool, budget, run.scorer, load_target(run), run.seed).key
        name = self._ranked(run, key, budget.limit) if exact else None
        axes, selector = run_axes(run), run.selector
        # A selection that runs share is named without what does not matter to it.
        budget_free, seed_free = selector.nested, not selector.stochastic
        demand = self._ask(
            cell,
            Demand(
                stage="selection",
                id=name or (key if exact else f"?{key}"),
                label=dataclasses.replace(
                    axes, budget=None if budget_free else axes.budget, seed=None if seed_free else axes.seed
                ).name,
                run=run,
                plugin=selector,
                cached=name is not None,
                exact=exact,
                positions=self._order(pool, name) if name else None,
            ),
        )
        demand.picks = max(demand.picks, float(len(budget.take(np.arange(len(pool))))))
        if not demand.cached:
            self._features(cell)
        return demand

    def _ranked(self, run: Run, key: str, least: int) -> str | None:
        """The stage that holds this selection: the shortest ranking that goes far enough, or the selection itself."""
        folder = self.root / "selection"
        lengths = sorted(int(path.name.partition("-")[2]) for path in folder.glob(f"{key}-*"))
        names = [f"{key}-{length}" for length in lengths if length >= least] if run.selector.nested else [key]
        return next((name for name in names if self._has(run, "selection", name)), None)

    def _order(self, pool: Pool, name: str) -> np.ndarray | None:
        kept = read_json(self.root / "selection" / name / SELECTION)
        return np.asarray([pool.position(id) for id in kept["ids"]], np.int64) if kept else None

    def _features(self, cell: Cell) -> None:
        run = cell.run
        for spec in _specs(run.selector, context_seed(run.selector, run.seed)):
            scorer = run.scorer if spec.needs_scorer else None
            feature = FeatureStage(spec, cell.pool, scorer)
            stage, key = feature.kind, feature.key
            label = f"{type(spec).__name__} of {cell.pool.name}" + (f" through {scorer.name}" if scorer else "")
            self._ask(cell, Demand(stage, key, label, run, plugin=spec, cached=self._has(run, stage, key)))

    def _training(self, cell: Cell, selection: Demand, positions: np.ndarray | None, budget: Budget) -> None:
        run, pool, exact = cell.run, cell.pool, positions is not None
        if positions is None:
            recipe = plugin_identity(run.trainer), fingerprint(run.model), run.seed
            key = f"?{digest([selection.id, budget.unit, budget.limit, *recipe])}"
        else:
            chosen = [pool[position] for position in positions]
            key = TrainingStage(run.trainer, chosen, run.model, run.seed).key
        demand = Demand("training", key, cell.name, run, run.trainer, exact=exact, positions=positions)
        demand.picks = float(len(budget.take(np.arange(len(pool)))) if positions is None else len(positions))
        demand.cached = exact and self._has(run, "training", key)
        self._ask(cell, demand)
        self._evaluations(cell, key, exact, run.seed)

    def _evaluations(self, cell: Cell, model_key: str, exact: bool, seed: int) -> None:
        run = cell.run
        for name, suite in run.suites.items():
            key = EvaluationStage(name, suite, model_key, seed).key
            demand = Demand("evaluation", key if exact else f"?{key}", name, run, suite, exact=exact)
            demand.cached = exact and self._has(run, "evaluation", key)
            self._ask(cell, demand)

    def _ask(self, cell: Cell, demand: Demand) -> Demand:
        known = self.demands.setdefault((demand.stage, demand.id), demand)
        known.cells.append(cell.number)
        return known

    def _has(self, run: Run, stage: str, name: str) -> bool:
        """Whether the store has it, as far as can be seen without reading its files again."""
        path = stage_path(self.root, stage, name)
        manifest = read_json(path / MANIFEST) if run.reuse != "none" else None
        if not manifest:
            return False
        sizes = ((path / file, about["bytes"]) for file, about in manifest["files"].items())
        return all(file.is_file() and file.stat().st_size == size for file, size in sizes)

    def _drop_idle(self) -> None:
        """Weights are made only for an evaluation that is to be made; those that were dropped after one count as cached."""
        wanted = {
            number for d in self.demands.values() if d.stage == "evaluation" and not d.cached for number in d.cells
        }
        for demand in self.demands.values():
            if demand.stage == "training" and not wanted & set(demand.cells):
                demand.cached = True


def _cell(number: int, run: Run, records: Records) -> Cell:
    key = new_record(run, load_pool(run.pool)).key
    return Cell(number, run, key, run_axes(run).name, records.read(key))


def _specs(selector: Any, seed: int) -> Iterator[Any]:
    """The features a selector says it needs, and those that they are built on."""
    for spec in features_needed(selector, seed):
        # One that looks through no model is read along with what is built on it, not kept.
        inner = (
            [getattr(spec, item.name) for item in dataclasses.fields(spec)] if dataclasses.is_dataclass(spec) else []
        )
        yield from (part for part in inner if getattr(part, "needs_scorer", False))
        yield spec
