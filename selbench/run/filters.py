"""Filters of a pool or target: examples that hold test items and examples that repeat others are left out before selection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from selbench.api import LoadedPool, Pool
from selbench.data import duplicates, ngrams
from selbench.data.leaks import Leaks
from selbench.data.system_prompts import with_system
from selbench.errors import UserError
from selbench.hashing import file_hash
from selbench.run.leak_check import LeakStage
from selbench.run.search_stage import SearchStage
from selbench.settings import Run
from selbench.store.facts import FilterFacts
from selbench.store.outputs import Outputs
from selbench.store.stages import Store

KEPT = 8  # filtered pools that stay in memory


@dataclass(frozen=True)
class FilteredPool(LoadedPool):
    """A pool as a run selects from it, with what its filters have left out."""

    facts: FilterFacts = field(default_factory=FilterFacts)
    # The searches that the filters rest on, by what they search for: "items of suite 'X'", "near duplicates".
    searches: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DuplicateStage(SearchStage[dict[str, str]]):
    """The search for examples of a pool that repeat earlier ones."""

    pool: Pool
    sort: duplicates.DuplicateKind
    kind: ClassVar[str] = "duplicates"
    file: ClassVar[str] = "duplicates.json"

    @property
    def identity(self) -> dict[str, Any]:
        source = [file_hash(Path(module.__file__ or "")) for module in (duplicates, ngrams)]
        return {"pool": self.pool.fingerprint, "kind": self.sort, "source": source}

    def search(self) -> dict[str, str]:
        """Id of each example that repeats an earlier one -> id of that one (data.duplicates)."""
        return duplicates.find_duplicates(self.pool, self.sort)

    def plain(self, found: dict[str, str]) -> dict[str, str]:
        return found

    def of_plain(self, plain: dict[str, str]) -> dict[str, str]:
        return plain


_filtered: dict[str, FilteredPool] = {}  # by the fingerprint of the pool and its filters
_without_system: dict[str, LoadedPool] = {}  # by what became of system prompts, and the pool


def filtered(loaded: LoadedPool, source: Any, run: Run, place: str) -> FilteredPool:
    """The pool or target as the run uses it; the same examples where no filter is in force or none applies.

    System prompts are treated first (option `system`); then test items are left out, then duplicates of what remains. The
    searches are read from the store if they are there, but nothing is written.

    Args:
        loaded: all its examples.
        source: the plugin of kind pool, whose options say which filters are in force.
        place: the prefix of its settings: `pool`, or `target.NAME`.

    Raises UserError for leaks where they are refused, for a suite that cannot be checked where they are refused or
    dropped, and if no example remains.
    """
    whole, loaded = loaded, _with_system(loaded, getattr(source, "system", "keep"))
    system = source.system if loaded is not whole else ""
    sort, leaks = getattr(source, "drop_duplicates", "no"), leak_setting(source, run)
    if sort == "no" and leaks == "report":
        facts = FilterFacts(of=len(loaded.pool), kept=len(loaded.pool), system=system)
        return FilteredPool(loaded.pool, loaded.labels, facts)
    root = Outputs(run.output_dir).store if run.reuse != "none" else None
    searches = {name: LeakStage(loaded.pool, suite) for name, suite in run.model_suites.items() if leaks != "report"}
    key = json.dumps(
        [place, loaded.pool.name, loaded.pool.fingerprint, system, sort, leaks, {n: s.key for n, s in searches.items()}]
    )
    if key not in _filtered:
        _filtered[key] = _apply_filters(loaded, system, sort, leaks, searches, place, root)
        _forget_oldest(_filtered)
    return _filtered[key]


def leak_setting(source: Any, run: Run) -> str:
    """What is done about the leaks of a pool or target: as its own option says, else as the run's setting."""
    return getattr(source, "leaks", None) or run.leaks


def filtered_in_memory(fingerprint: str) -> Pool | None:
    """A filtered pool that this process has made, by the beginning of its fingerprint; None if it has made none."""
    return next((one.pool for one in _filtered.values() if one.pool.fingerprint.startswith(fingerprint)), None)


def asks_for_leaks(run: Run) -> bool:
    """Whether a filter of the run needs to know the test items."""
    return any(leak_setting(source, run) != "report" for source in (run.pool, *run.targets.values()))


def forget_filtered() -> None:
    """Apply every filter anew when its pool is next asked for."""
    _filtered.clear()
    _without_system.clear()


def keep_searches(pools: Mapping[str, FilteredPool], store: Store) -> dict[str, str]:
    """Keep what the filters of these pools (by place) rest on in the store. Label -> key of each stage."""
    kept = {}
    for place, pool in pools.items():
        for sought, stage in pool.searches.items():
            stage.result(store)
            kept[f"{stage.kind}/{sought} in unfiltered {place}"] = stage.key
    return kept


def _with_system(loaded: LoadedPool, how: str) -> LoadedPool:
    """The same examples with their system prompts kept, left out or put into the first user turn."""
    if how == "keep" or not any(example.system for example in loaded.pool):
        return loaded
    key = f"{how} {loaded.pool.name} {loaded.pool.fingerprint}"
    if key not in _without_system:
        pool = Pool((with_system(example, how) for example in loaded.pool), loaded.pool.name)
        _without_system[key] = LoadedPool(pool, loaded.labels)
        _forget_oldest(_without_system)
    return _without_system[key]


def _apply_filters(
    loaded: LoadedPool,
    system: str,
    sort: Any,
    leaks: str,
    searches: Mapping[str, LeakStage],
    place: str,
    root: Path | None,
) -> FilteredPool:
    what = f"{'pool' if place == 'pool' else 'target'} '{loaded.pool.name if place == 'pool' else place.partition('.')[2]}'"
    found = {suite: _checked(stage.at_hand(root), suite, leaks, what, place) for suite, stage in searches.items()}
    leaking = {suite: own.examples for suite, own in found.items() if own.examples}
    if leaking and leaks == "refuse":
        raise UserError(_refusal(found, what, place))
    dropped = set().union(*leaking.values())
    rest = [example for example in loaded.pool if example.id not in dropped]
    if not rest:
        suites = " and ".join(leaking)
        raise UserError(
            f"{what}: no example is left, because all {len(loaded.pool):,} hold items of {suites} and "
            f"leaks=drop. {place}.leaks=report keeps them."
        )
    clean = Pool(rest, loaded.pool.name) if dropped else loaded.pool
    sought: dict[str, SearchStage[Any]] = {f"items of suite '{suite}'": stage for suite, stage in searches.items()}
    repeated: Mapping[str, str] = {}
    if sort != "no":
        search = DuplicateStage(clean, sort)
        repeated = search.at_hand(root)
        sought[f"{sort} duplicates"] = search
    facts = FilterFacts(
        of=len(loaded.pool),
        kept=len(clean) - len(repeated),
        leaks={suite: len(examples) for suite, examples in leaking.items()},
        duplicates={sort: len(repeated)} if repeated else {},
        system=system,
    )
    if not facts.dropped:
        return FilteredPool(loaded.pool, loaded.labels, facts, sought)
    pool = Pool((example for example in clean if example.id not in repeated), facts.named(loaded.pool.name))
    return FilteredPool(pool, {id: loaded.labels[id] for id in pool.ids if id in loaded.labels}, facts, sought)


def _checked(found: Leaks | None, suite: str, leaks: str, what: str, place: str) -> Leaks:
    """Raises UserError for a suite that cannot be checked: that it has no leaks is not known."""
    if found is None:
        raise UserError(
            f"{what}: suite '{suite}' has no method texts(), so that leaks of its items cannot be checked, and {place} has "
            f"leaks={leaks}. Give the suite texts() (docs/leaks.md), leave it out, or set {place}.leaks=report."
        )
    return found


def _refusal(found: Mapping[str, Leaks], what: str, place: str) -> str:
    said = [
        f"{own.leaked:,} of {own.items:,} items of suite '{suite}' in {len(own.examples):,} of its examples (first "
        f"'{min(own.examples)}')"
        for suite, own in found.items()
        if own.examples
    ]
    return (
        f"{what} holds {' and '.join(said)}, and leaks=refuse. {place}.leaks=drop leaves these examples out, "
        f"{place}.leaks=report keeps them and says so."
    )


def _forget_oldest(known: dict[str, Any]) -> None:
    for old in list(known)[:-KEPT]:
        del known[old]
