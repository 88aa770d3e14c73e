"""The leak check of a run, as stages: one per suite, shared by all selections from a pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selbench.api import Pool
from selbench.data import leaks, ngrams
from selbench.errors import UserError
from selbench.hashing import file_hash
from selbench.store.files import read_json, write_json
from selbench.store.keys import plugin_identity
from selbench.store.stages import Store

KIND = "leaks"
FOUND = "leaks.json"


@dataclass(frozen=True)
class Checked:
    """Per suite what the record keeps (see data.leaks.summary), and the stage with all that was found."""

    summaries: dict[str, dict[str, Any]]
    stages: dict[str, str]

    @property
    def selected(self) -> int | None:
        """The selected examples that leak; None where that is not known."""
        return leaks.selected_leaks(self.summaries)

    def warning(self) -> str | None:
        """One sentence where the selection holds items of a suite."""
        hit = [(name, about) for name, about in self.summaries.items() if about.get("selected")]
        if not hit:
            return None
        suites = ", ".join(f"{name} ({about['selected_items']} of {about['items']})" for name, about in hit)
        return f"leak check: items of {suites} stand, whole or in part, in {self.selected} of the selected examples."


def check_leaks(
    pool: Pool, target: Mapping[str, Pool], suites: Mapping[str, Any], selected: Iterable[str], store: Store
) -> Checked:
    """Look for every suite's items in the pool and the target examples, and count those in the selection (ids)."""
    chosen = list(selected)
    summaries, stages = {}, {}
    for name, suite in suites.items():

        def compute(folder: Path, suite: Any = suite) -> None:
            write_json(folder / FOUND, leaks.suite_leaks(pool, target, suite))

        stage = store.stage(KIND, leaks_identity(pool, target, suite), compute)
        found = read_json(stage.path / FOUND)
        if found is None:
            raise UserError(f"the leak check at {stage.path} cannot be read. Delete that folder and run again.")
        summaries[name] = leaks.summary(found, chosen)
        stages[f"leaks/{name}"] = stage.key
    return Checked(summaries, stages)


def leaks_identity(pool: Pool, target: Mapping[str, Pool], suite: Any) -> dict[str, Any]:
    """Everything that can change what is found."""
    return {
        "pool": pool.fingerprint,
        "target": {capability: examples.fingerprint for capability, examples in target.items()},
        "suite": plugin_identity(suite),
        "source": [file_hash(Path(module.__file__ or "")) for module in (leaks, ngrams)],
    }
