"""The search for test items as stages: one per suite and pool or target, shared by all runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from selbench.api import Pool
from selbench.data import leaks, ngrams
from selbench.data.leaks import Leaks
from selbench.errors import PluginError, UserError
from selbench.hashing import file_hash
from selbench.run.plugin_call import described, plugin_call
from selbench.run.stage import RunStage
from selbench.store.files import read_json, write_json
from selbench.store.inventory import stage_path
from selbench.store.keys import plugin_identity
from selbench.store.stages import MANIFEST, Store

FOUND = "leaks.json"
KEPT = 32  # results of the last searches that stay in memory

_searched: dict[str, Leaks | None] = {}  # by the key of the stage


@dataclass(frozen=True)
class LeaksFound:
    """The leaks of one run, in its pool and in its targets."""

    pool: Mapping[str, Leaks | None]  # suite -> leaks; None for a suite that cannot be checked
    target: Mapping[str, Mapping[str, Leaks | None]]  # target -> suite -> leaks
    stages: Mapping[str, str] = field(default_factory=dict)  # leaks/... -> the key of the stage with all that was found

    @cached_property
    def items(self) -> dict[str, dict[str, int]]:
        """Suite -> task -> how many items the suite says it has; nothing of a suite that cannot be checked."""
        return {
            suite: {name: task.items for name, task in found.tasks.items()} if found else {}
            for suite, found in self.pool.items()
        }

    def summaries(self, selected: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Suite -> what a record keeps for these selected ids (see data.leaks.leak_summary)."""
        chosen = list(selected)
        return {
            suite: leaks.leak_summary(found, {name: own[suite] for name, own in self.target.items()}, chosen)
            for suite, found in self.pool.items()
        }


@dataclass(frozen=True, eq=False)
class LeakStage(RunStage):
    """The search for one suite's test items in a whole pool, or in the examples of a target; it knows of no selection."""

    pool: Pool
    suite: Any
    kind: ClassVar[str] = "leaks"

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "pool": self.pool.fingerprint,
            "suite": plugin_identity(self.suite),
            # The code that searches: a plugin's own identity does not cover it.
            "source": [file_hash(Path(module.__file__ or "")) for module in (leaks, ngrams)],
        }

    def result(self, store: Store) -> Leaks | None:
        """What was found, kept in the store; None for a suite that cannot be checked.

        Raises UserError if the stored result cannot be read, PluginError if the suite's `texts` fails.
        """

        def compute(folder: Path) -> None:
            found = self._found()
            write_json(folder / FOUND, {"checked": found is not None, "pool": found.plain() if found else {}})

        return _read(store.stage(self.kind, self.identity, compute).path)

    def at_hand(self, root: Path | None) -> Leaks | None:
        """As `result`, without keeping it: from memory, from the store at `root` if it is there, or else searched for now."""
        folder = stage_path(root, self.kind, self.key) if root else None
        if self.key not in _searched and folder and (folder / MANIFEST).is_file():
            _remember(self.key, _read(folder))
        return self._found()

    def _found(self) -> Leaks | None:
        if self.key not in _searched:
            _remember(self.key, self._search())
        return _searched[self.key]

    def _search(self) -> Leaks | None:
        try:
            with plugin_call(self.suite, "texts"):
                return leaks.suite_leaks(self.pool, self.suite)
        except UserError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise PluginError(f"suite '{self.suite.plugin_name}': texts() failed: {described(error)}.") from error


def _remember(key: str, found: Leaks | None) -> None:
    _searched[key] = found
    for old in list(_searched)[:-KEPT]:
        del _searched[old]


def _read(folder: Path) -> Leaks | None:
    """What a stage has kept. Raises UserError if it cannot be read."""
    found = read_json(folder / FOUND)
    if found is None:
        raise UserError(f"the leak check at {folder} cannot be read. Delete that folder and run again.")
    return Leaks.of(found["pool"]) if found["checked"] else None


def check_leaks(pool: Pool, target: Mapping[str, Pool], suites: Mapping[str, Any], store: Store) -> LeaksFound:
    """Search the pool and the examples of the targets (by name) for every suite's items; the results are kept in the store."""
    stages = {}

    def searched(examples: Pool, place: str) -> dict[str, Leaks | None]:
        found = {}
        for name, suite in suites.items():
            stage = LeakStage(examples, suite)
            stages[f"{stage.kind}/{name}{place}"] = stage.key
            found[name] = stage.result(store)
        return found

    in_pool = searched(pool, "")
    in_target = {name: searched(examples, f" in target {name}") for name, examples in target.items()}
    return LeaksFound(in_pool, in_target, stages)
