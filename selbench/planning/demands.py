"""The distinct stages that the cells of a grid need: which of them the store has, and which are to be computed.

The keys are those of the run's own stages. Where a key depends on a selection that is not made yet, a stand-in ("?" and a
hash) takes its place, the same for all cells that are sure to share the stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selbench.api import Budget, Chosen, Pool
from selbench.declare import features_with_inner
from selbench.held import inner_selections
from selbench.models import fingerprint
from selbench.planning.stand_ins import StatedPool
from selbench.run.evaluate import EvaluationStage, selection_key
from selbench.run.features import FeatureStage
from selbench.run.identity import new_record, run_axes
from selbench.run.inputs import load_target, pool_of
from selbench.run.leak_check import LeakStage
from selbench.run.select import SelectionStage, context_seed, make_budget
from selbench.run.tokens import TokenCounts
from selbench.run.train import TrainingStage
from selbench.run.trained_elsewhere import is_fine_tuned, trained_elsewhere
from selbench.run.training_lengths import TrainingLengths
from selbench.settings import Run
from selbench.store.facts import HubCommit
from selbench.store.files import read_json
from selbench.store.inventory import stage_path
from selbench.store.keys import digest, plugin_identity
from selbench.store.outputs import Outputs
from selbench.store.records import SELECTION, Record, Records
from selbench.store.stages import MANIFEST


@dataclass
class Demand:
    """One distinct stage that cells of the grid need."""

    stage: str  # its kind
    id: str  # its key in the store, or a stand-in
    label: str  # for people
    run: Run  # the run of the first cell that needs it
    plugin: Any = None  # the selector, feature spec, trainer or suite that does the work; None for token counts
    cached: bool = False
    exact: bool = True  # whether `id` is the key, and not a stand-in
    picks: float = 0.0  # the number of examples that are selected, trained on or searched for test items
    positions: np.ndarray | None = None  # the positions of these examples in the pool, where known
    budget: Budget | None = None  # of a fine-tuning: what may be selected
    cells: list[int] = field(default_factory=list)  # the numbers of the cells that need it


@dataclass
class Cell:
    """One cell of the grid."""

    number: int  # from 1
    run: Run
    key: str  # of the run
    name: str
    record: Record | None  # of an earlier run with this key
    hub: list[HubCommit] = field(default_factory=list)  # what it takes from the hub

    @property
    def runs(self) -> bool:
        """Whether the sweep would run it: a recorded cell is run again only if its `reuse` or `retry` asks for it."""
        if self.record is None or self.run.reuse == "none":
            return True
        return self.record.status != "finished" and self.run.retry in (self.record.status, "all")

    @property
    def pool(self) -> Pool:
        return pool_of(self.run).pool


def _expected_picks(budget: Budget) -> float:
    """How many examples a budget takes; of one in tokens, where that depends on the selection, as if the pool's first were it."""
    return float(budget.limit if budget.unit == "examples" else len(budget.take(np.arange(len(budget.ids)))))


class Grid:
    """The cells of a grid and the distinct stages that they need. All runs share one output folder."""

    def __init__(self, runs: Sequence[Run], chars_per_token: float = 4.0) -> None:
        outputs = Outputs(runs[0].output_dir)
        self.root = outputs.store
        self.chars_per_token = chars_per_token
        self.demands: dict[tuple[str, str], Demand] = {}  # by kind and id
        self.cells = [_cell_of(number, run, outputs.records) for number, run in enumerate(runs, 1)]
        for cell in self.cells:
            if cell.runs:
                self._add_run(cell)
            elif cell.record:
                self._add_recorded(cell, cell.record)
        self._spare_unneeded_training()

    def of(self, cell: Cell) -> list[Demand]:
        """The stages that one cell needs."""
        return [demand for demand in self.demands.values() if cell.number in demand.cells]

    def _add_recorded(self, cell: Cell, record: Record) -> None:
        """Add the stages of a cell that is not run again, all as cached."""
        for name, id in record.stages.items():
            stage, _, label = name.partition("/")
            self._add(cell, Demand(stage, id, label or cell.name, cell.run, cached=True))

    def _add_run(self, cell: Cell) -> None:
        """Add the stages of a cell that is to be run."""
        run, pool = cell.run, cell.pool
        label = f"{pool.name} as {run.model.name} reads it"
        if run.model.path:
            key = TokenCounts(pool, run.model).key
            self._add(cell, Demand("tokens", key, label, run, cached=self.has(run, "tokens", key)))
        self._add_leak_checks(cell)
        budget, exact = self._budget_of(cell)
        if budget is None:  # the arm `base`: nothing is selected and nothing trained
            return self._add_evaluations(cell, fingerprint(run.model), True, 0)
        if is_fine_tuned(run):
            measured = TrainingLengths(pool, run.model).key
            self._add(cell, Demand("lengths", measured, label, run, cached=self.has(run, "lengths", measured)))
        selection = self._add_selection(cell, budget, exact)
        positions = selection.positions if selection.cached else None
        if positions is not None:
            positions = np.sort(budget.take(positions))
        elif budget.limit == budget.costs.sum():  # the whole pool, whatever the selector ranks first
            positions = np.arange(len(pool))
        self._add_selection_scores(cell, selection, positions, budget)
        if tuned := trained_elsewhere(run):
            return self._add_evaluations(cell, fingerprint(tuned), True, 0)
        return self._add_training(cell, selection, positions, budget) if is_fine_tuned(run) else None

    def _add_selection_scores(
        self, cell: Cell, selection: Demand, positions: np.ndarray | None, budget: Budget
    ) -> None:
        """Add the suites that score the selection; `positions` are as in `_add_training`."""
        run, loaded = cell.run, pool_of(cell.run)
        for name, suite in run.selection_suites.items():
            key = f"?{digest([selection.id, budget.unit, budget.limit])}"
            if positions is not None:
                chosen = Chosen(tuple(loaded.pool.ids[place] for place in positions), loaded.pool, loaded.labels)
                key = selection_key(chosen)
            self._add_evaluation(cell, name, suite, key, positions is not None, 0).picks = _expected_picks(budget)

    def _add_leak_checks(self, cell: Cell) -> None:
        run, targets = cell.run, load_target(cell.run)
        for name, suite in run.model_suites.items():
            for place, examples in {"": cell.pool, **{f" in target {one}": targets[one] for one in targets}}.items():
                key = LeakStage(examples, suite).key
                cached = self.has(run, "leaks", key)
                self._add(cell, Demand("leaks", key, f"{name}{place}", run, suite, cached, picks=len(examples)))

    def _budget_of(self, cell: Cell) -> tuple[Budget | None, bool]:
        """The budget, and whether it is exact: one in tokens is guessed from characters until the tokens are counted."""
        run, pool = cell.run, cell.pool
        if run.budget_unit != "tokens" or not run.selector.takes_budget:
            return make_budget(run.selector, pool, run.budget, run.budget_unit, None), True
        counted = self.response_tokens(cell.run)
        if counted is None:
            guess = self._guessed_response_tokens(pool)
            return make_budget(run.selector, pool, run.budget, run.budget_unit, guess), False
        return make_budget(run.selector, pool, run.budget, run.budget_unit, counted), True

    def _guessed_response_tokens(self, pool: Pool) -> np.ndarray:
        """N integers: as stated of the pool, else from its characters."""
        if isinstance(pool, StatedPool):
            return np.full(len(pool), max(1, round(pool.source.response_tokens)))
        return np.asarray([max(1, round(len(example.response) / self.chars_per_token)) for example in pool])

    def response_tokens(self, run: Run) -> np.ndarray | None:
        """N integers, the response tokens of the pool under this run's model; None if they have not been counted."""
        key = TokenCounts.of(run).key
        path = self.root / "tokens" / key / "tokens.npy"
        return np.load(path) if self.has(run, "tokens", key) else None

    def _add_selection(self, cell: Cell, budget: Budget, exact: bool) -> Demand:
        """Add the selection, and its features unless it is cached."""
        run, pool = cell.run, cell.pool
        key = SelectionStage(run.selector, pool, budget, run.scorer, load_target(run), run.seed).key
        name = self._cached_selection(run, key, budget.limit) if exact else None
        axes, selector = run_axes(run), run.selector
        # A selection that runs share is labelled without the budget or seed that it does not depend on.
        any_budget, any_seed = selector.nested, not selector.stochastic
        demand = self._add(
            cell,
            Demand(
                stage="selection",
                id=name or (key if exact else f"?{key}"),
                label=dataclasses.replace(
                    axes, budget=None if any_budget else axes.budget, seed=None if any_seed else axes.seed
                ).name,
                run=run,
                plugin=selector,
                cached=name is not None,
                exact=exact,
                positions=self._selected_positions(pool, name) if name else None,
            ),
        )
        demand.picks = max(demand.picks, _expected_picks(budget))
        if not demand.cached:
            self._add_copied(cell, budget, exact)
            self._add_features(cell)
        return demand

    def _add_copied(self, cell: Cell, budget: Budget, exact: bool) -> None:
        """Add the selections that the selector itself asks for: of the selectors that it holds, as `random like mads`."""
        for held, part in inner_selections(cell.run.selector, budget):
            copied = dataclasses.replace(cell.run, selector=held)
            if part is not budget:
                copied = dataclasses.replace(copied, budget=part.limit, budget_unit=part.unit)
            self._add_selection(dataclasses.replace(cell, run=copied), part, exact)

    def _cached_selection(self, run: Run, key: str, least: int) -> str | None:
        """The name of the stage in the store that holds this selection; None if there is none.

        For a nested selector that is the shortest ranking with at least `least` of the budget's unit.
        """
        folder = self.root / "selection"
        lengths = sorted(int(path.name.partition("-")[2]) for path in folder.glob(f"{key}-*"))
        names = [f"{key}-{length}" for length in lengths if length >= least] if run.selector.nested else [key]
        return next((name for name in names if self.has(run, "selection", name)), None)

    def _selected_positions(self, pool: Pool, name: str) -> np.ndarray | None:
        """The positions in the pool that a stored selection chose, best first; None if it cannot be read."""
        kept = read_json(self.root / "selection" / name / SELECTION)
        return np.asarray([pool.position(id) for id in kept["ids"]], np.int64) if kept else None

    def _add_features(self, cell: Cell) -> None:
        run = cell.run
        for spec in features_with_inner(run.selector, context_seed(run.selector, run.seed)):
            scorer = run.scorer if spec.needs_scorer else None
            feature = FeatureStage(spec, cell.pool, scorer)
            stage, key = feature.kind, feature.key
            label = f"{type(spec).__name__} of {cell.pool.name}" + (f" through {scorer.name}" if scorer else "")
            self._add(cell, Demand(stage, key, label, run, plugin=spec, cached=self.has(run, stage, key)))

    def _add_training(self, cell: Cell, selection: Demand, positions: np.ndarray | None, budget: Budget) -> None:
        """Add fine-tuning and evaluation; `positions` (sorted) are those of the selected examples, None if unknown."""
        run, pool, exact = cell.run, cell.pool, positions is not None
        if positions is None:
            recipe = plugin_identity(run.trainer), fingerprint(run.model), run.seed
            key = f"?{digest([selection.id, budget.unit, budget.limit, *recipe])}"
        else:
            chosen = [pool[position] for position in positions]
            key = TrainingStage(run.trainer, chosen, run.model, run.seed).key
        demand = Demand("training", key, cell.name, run, run.trainer, exact=exact, positions=positions, budget=budget)
        demand.picks = _expected_picks(budget) if positions is None else float(len(positions))
        demand.cached = exact and self.has(run, "training", key)
        self._add(cell, demand)
        self._add_evaluations(cell, key, exact, run.seed)

    def _add_evaluations(self, cell: Cell, model_key: str, exact: bool, seed: int) -> None:
        run = cell.run
        for name, suite in run.model_suites.items():
            self._add_evaluation(cell, name, suite, model_key, exact, seed)

    def _add_evaluation(self, cell: Cell, name: str, suite: Any, subject_key: str, exact: bool, seed: int) -> Demand:
        key = EvaluationStage(name, suite, subject_key, seed).key
        demand = Demand("evaluation", key if exact else f"?{key}", name, cell.run, suite, exact=exact)
        demand.cached = exact and self.has(cell.run, "evaluation", key)
        return self._add(cell, demand)

    def _add(self, cell: Cell, demand: Demand) -> Demand:
        """Note that the cell needs this stage. Returns the one that is kept: that of the first cell that needs it."""
        known = self.demands.setdefault((demand.stage, demand.id), demand)
        known.cells.append(cell.number)
        return known

    def has(self, run: Run, stage: str, name: str) -> bool:
        """Whether the run would find this stage in the store. Only the sizes of its files are looked at, not checksums."""
        path = stage_path(self.root, stage, name)
        manifest = read_json(path / MANIFEST) if run.reuse != "none" else None
        if not manifest:
            return False
        sizes = ((path / file, about["bytes"]) for file, about in manifest["files"].items())
        return all(file.is_file() and file.stat().st_size == size for file, size in sizes)

    def _spare_unneeded_training(self) -> None:
        """Count a fine-tuning as cached if none of its evaluations is to be computed: its weights may have been dropped."""
        wanted = {
            number for d in self.demands.values() if d.stage == "evaluation" and not d.cached for number in d.cells
        }
        for demand in self.demands.values():
            if demand.stage == "training" and not wanted & set(demand.cells):
                demand.cached = True


def _cell_of(number: int, run: Run, records: Records) -> Cell:
    new = new_record(run)
    return Cell(number, run, new.key, run_axes(run).name, records.read(new.key), new.hub)
