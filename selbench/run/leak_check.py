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
from selbench.run.search_stage import SearchStage
from selbench.store.keys import plugin_identity
from selbench.store.stages import Store


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
class LeakStage(SearchStage[Leaks | None]):
    """The search for one suite's test items in a whole pool, or in the examples of a target; it knows of no selection."""

    pool: Pool
    suite: Any
    kind: ClassVar[str] = "leaks"
    file: ClassVar[str] = "leaks.json"

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "pool": self.pool.fingerprint,
            "suite": plugin_identity(self.suite),
            # The code that searches: a plugin's own identity does not cover it.
            "source": [file_hash(Path(module.__file__ or "")) for module in (leaks, ngrams)],
        }

    def search(self) -> Leaks | None:
        """What was found; None for a suite that cannot be checked. Raises PluginError if the suite's `texts` fails."""
        try:
            with plugin_call(self.suite, "texts"):
                return leaks.suite_leaks(self.pool, self.suite)
        except UserError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise PluginError(f"suite '{self.suite.plugin_name}': texts() failed: {described(error)}.") from error

    def plain(self, found: Leaks | None) -> dict[str, Any]:
        return {"checked": found is not None, "pool": found.plain() if found else {}}

    def of_plain(self, plain: Mapping[str, Any]) -> Leaks | None:
        return Leaks.of(plain["pool"]) if plain["checked"] else None


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
