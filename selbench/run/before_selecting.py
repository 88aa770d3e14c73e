"""What there is to say of a run's data before anything is spent: what its filters leave out, which targets hold test items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selbench.data.leaks import leak_summary
from selbench.errors import UserError
from selbench.run.inputs import filtered_targets, pools_of
from selbench.run.leak_check import LeakStage
from selbench.settings import Run
from selbench.store.facts import LeakSummary
from selbench.store.outputs import Outputs


def filter_sentences(run: Run) -> Iterator[str]:
    """A sentence for each pool and target with a filter in force, also where it leaves nothing out."""
    for place, filtered in pools_of(run).items():
        if filtered.searches:
            searched = " and ".join(filtered.searches)
            yield f"{place}: {filtered.facts.sentence or f'no example is left out; searched for {searched}.'}"


def target_leak_sentences(runs: Sequence[Run]) -> list[str]:
    """A sentence for each target that holds items of a suite of the same run, with the selectors that look at it; and for
    each target that cannot be searched. Only targeted selectors have targets."""
    arms: dict[str, dict[str, None]] = {}
    for run in runs:
        root = Outputs(run.output_dir).store
        for name, filtered in filtered_targets(run).items():
            for suite, plugin in run.model_suites.items():
                try:
                    found = LeakStage(filtered.pool, plugin).at_hand(root)
                    about = LeakSummary.read(leak_summary(found, {name: found}, ()))
                    said = about.target_sentences(suite)
                except UserError as error:  # the run will fail and say so; a command that only selects need not
                    said = [f"target '{name}' cannot be searched for items of suite '{suite}': {error}"]
                for sentence in said:
                    arms.setdefault(sentence, {})[run.selector.plugin_name] = None
    return [f"leak check: {said.rstrip('.')} ({', '.join(names)})." for said, names in arms.items()]
