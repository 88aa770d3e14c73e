"""The leak check as stages: one per suite, shared by all selections from a pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from selbench.api import Pool
from selbench.data import leaks, ngrams
from selbench.errors import UserError
from selbench.hashing import file_hash
from selbench.run.plugin_call import plugin_call
from selbench.run.stage import RunStage
from selbench.store.files import read_json, write_json
from selbench.store.keys import plugin_identity
from selbench.store.stages import Store

FOUND = "leaks.json"


@dataclass(frozen=True)
class LeaksFound:
    """The leaks of one selection."""

    summaries: dict[str, dict[str, Any]]  # suite -> what the record keeps (see data.leaks.leak_summary)
    stages: dict[str, str]  # leaks/SUITE -> the key of the stage with everything that was found
    # suite -> task -> how many items the suite says it has; nothing of a suite that cannot be checked
    items: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def selected(self) -> int | None:
        """The number of distinct selected examples that leak into any suite; None if none was found and a suite could not
        be checked."""
        return leaks.selected_leaks(self.summaries)

    def warning(self) -> str | None:
        """A sentence that names the suites whose items the selection holds; None if it holds none."""
        hit = [(name, about) for name, about in self.summaries.items() if about.get("selected")]
        if not hit:
            return None
        suites = ", ".join(f"{name} ({about['selected_items']} of {about['items']})" for name, about in hit)
        return f"leak check: items of {suites} stand, whole or in part, in {self.selected} of the selected examples."


@dataclass(frozen=True, eq=False)
class LeakStage(RunStage):
    """The search for one suite's test items in a whole pool and in the target examples; it knows of no selection."""

    pool: Pool
    target: Mapping[str, Pool]
    suite: Any
    kind: ClassVar[str] = "leaks"

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "pool": self.pool.fingerprint,
            "target": {capability: examples.fingerprint for capability, examples in self.target.items()},
            "suite": plugin_identity(self.suite),
            # The code that searches: a plugin's own identity does not cover it.
            "source": [file_hash(Path(module.__file__ or "")) for module in (leaks, ngrams)],
        }

    def result(self, store: Store) -> tuple[str, dict[str, Any]]:
        """The stage's key, and everything that was found (see data.leaks.suite_leaks).

        Raises UserError if the stored result cannot be read.
        """

        def compute(folder: Path) -> None:
            with plugin_call(self.suite, "texts"):
                found = leaks.suite_leaks(self.pool, self.target, self.suite)
            write_json(folder / FOUND, found)

        stage = store.stage(self.kind, self.identity, compute)
        found = read_json(stage.path / FOUND)
        if found is None:
            raise UserError(f"the leak check at {stage.path} cannot be read. Delete that folder and run again.")
        return stage.key, found


def check_leaks(
    pool: Pool, target: Mapping[str, Pool], suites: Mapping[str, Any], selected: Iterable[str], store: Store
) -> LeaksFound:
    """Search the pool and the target examples for every suite's items, and count those in the selected ids."""
    chosen = list(selected)
    summaries, stages, items = {}, {}, {}
    for name, suite in suites.items():
        stages[f"leaks/{name}"], found = LeakStage(pool, target, suite).result(store)
        summaries[name] = leaks.leak_summary(found, chosen)
        items[name] = {task: int(about["items"]) for task, about in (found.get("pool") or {}).items()}
    return LeaksFound(summaries, stages, items)
