"""The rules every selector must follow, one check each.

The docstring of a check is the rule; the check raises AssertionError with what it found.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Budget, Context, Example, ModelRef, Pool, Selection
from selbench.plugins import discover
from selbench.testing.labels import labels_watched
from selbench.testing.watch import written_outside

WORDS = (
    "amber basin cedar delta ember fjord grove harbor islet juniper knoll lagoon meadow nectar orchard prairie".split()  # noqa: SIM905
)


def default_scorer() -> ModelRef:
    """The model of one million parameters that ships with selbench: a real model, and small enough for a check."""
    path = files("selbench") / "planted" / "models" / "planted-1m"
    return ModelRef("planted-1m", str(path), template="chat", max_length=128)


@dataclass
class Subject:
    """A selector under test, described by name and options so that another process can build the same one."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    plugin_path: Sequence[str] = ()  # folders to search for the plugin, as for a run
    scorer: ModelRef = field(default_factory=default_scorer)

    @cached_property
    def cls(self) -> Any:
        return discover(self.plugin_path).get("selector", self.name).cls

    def build(self) -> Any:
        """The selector. An option that is a selector itself is given as on the command line: name, or name and options."""
        held = {item.name for item in dataclasses.fields(self.cls) if item.metadata.get("plugin") == "selector"}
        return self.cls(**{name: self._held(value) if name in held else value for name, value in self.options.items()})

    def _held(self, value: Any) -> Any:
        options = {"name": value} if isinstance(value, str) else dict(value or {})
        return Subject(options.pop("name"), options, self.plugin_path, self.scorer).build() if options else None

    def select(
        self, pool: Pool, amount: int | float, scratch: Path, seed: int = 0, unit: str = "examples"
    ) -> Selection:
        """The selection as `select` gives it, without any cache; a budget in tokens counts words of the response."""
        selector = self.build()
        # Words stand in for tokens: a check needs a unit other than examples, and no tokenizer.
        tokens = [len(example.response.split()) for example in pool] if unit == "tokens" else None
        if not selector.takes_budget:
            amount, unit = max(float(selector.share), 1e-9), "examples"
        if selector.selects_nothing:  # the framework never calls `select` of such a selector
            return Selection(())
        scratch.mkdir(parents=True, exist_ok=True)
        context = Context(
            pool,
            seed=seed,
            scorer=self.scorer,
            target={"target": make_pool(12, seed=99)},
            scratch=scratch,
            selector=selector,
        )
        selection: Selection = selector.select(pool, Budget.of(pool, amount, unit, tokens), context)
        return selection


def make_pool(size: int, seed: int = 0) -> Pool:
    """Distinct examples whose responses all differ in length, in three categories of unequal size and two sources."""
    rng = random.Random(seed)
    # All lengths differ, so that a ranking by length has no ties.
    lengths = rng.sample(range(1, size + 1), size)
    examples = []
    for i, length in enumerate(lengths):
        words = [rng.choice(WORDS) for _ in range(6)]
        response = " ".join(rng.choice(WORDS) for _ in range(length))
        category = "abc"[min(rng.randrange(6) // 2, 2)] if rng.random() < 0.8 else "a"
        examples.append(
            Example(f"e{i:03d}-{seed}", f"{' '.join(words)} {i}", response, source=f"s{i % 2}", category=category)
        )
    return Pool(examples, "conformance")


def same_seed_same_ids(subject: Subject, scratch: Path) -> None:
    """The same seed gives the same ids, in the same order."""
    pool = make_pool(40)
    first, second = (subject.select(pool, 10, scratch / str(i), seed=5) for i in range(2))
    assert first.ids == second.ids, f"two runs with seed 5 gave {first.ids[:5]}... and {second.ids[:5]}..."


def exactly_the_budget(subject: Subject, scratch: Path) -> None:
    """Ids from the pool, no duplicates, exactly the budget; in tokens never more."""
    pool = make_pool(40)
    selector = subject.build()
    for amount in (1, 7, 0.25, 39, 40):
        ids = subject.select(pool, amount, scratch / str(amount)).ids
        expected = int(amount * 40) if isinstance(amount, float) else amount
        if not selector.takes_budget:
            expected = round(selector.share * 40)
        assert len(ids) == expected, f"budget {amount}: {len(ids)} ids, expected {expected}"
        assert len(set(ids)) == len(ids), f"budget {amount}: {len(ids) - len(set(ids))} duplicate ids"
        assert set(ids) <= set(pool.ids), f"budget {amount}: foreign ids {sorted(set(ids) - set(pool.ids))[:3]}"
    if selector.takes_budget:
        ids = subject.select(pool, 100, scratch / "tokens", unit="tokens").ids
        spent = sum(len(pool[pool.position(id)].response.split()) for id in ids)
        assert 100 - 40 < spent <= 100, f"a budget of 100 tokens was filled with {spent}"


def smaller_budgets_are_prefixes(subject: Subject, scratch: Path) -> None:
    """Where `nested` is claimed, the selection for a smaller budget is a prefix of the one for a larger."""
    if not subject.build().nested:
        return
    pool = make_pool(40)
    large = subject.select(pool, 20, scratch / "large").ids
    for amount in (1, 5, 13):
        small = subject.select(pool, amount, scratch / str(amount)).ids
        if subject.build().takes_budget:
            assert small == large[:amount], f"budget {amount} is no prefix of budget 20"


def order_of_the_pool_does_not_matter(subject: Subject, scratch: Path) -> None:
    """A shuffled pool gives the same choice except for ties: at the first pick that differs, the scores are equal."""
    if subject.build().stochastic:
        return
    pool = make_pool(40)
    shuffled = Pool(random.Random(1).sample(list(pool), len(pool)), pool.name)
    one, other = subject.select(pool, 12, scratch / "a"), subject.select(shuffled, 12, scratch / "b")
    # Equal sets in another order are fine: only the choice is checked, not the order of ties within it.
    if set(one.ids) == set(other.ids):
        return
    parting = next(i for i, (a, b) in enumerate(zip(one.ids, other.ids)) if a != b)
    assert one.scores is not None and other.scores is not None, (
        f"a shuffled pool gave other examples, and without scores nobody can tell whether pick {parting} was a tie"
    )
    assert np.isclose(one.scores[parting], other.scores[parting], rtol=1e-4), (
        f"a shuffled pool gave another choice at pick {parting}, where the scores differ: "
        f"{one.scores[parting]:.6g} and {other.scores[parting]:.6g}"
    )


def global_randomness_is_left_alone(subject: Subject, scratch: Path) -> None:
    """Global random state is neither read nor changed (python, numpy, torch)."""
    import torch

    pool = make_pool(40)
    numpy_state: Any = np.random.get_state  # its type depends on the version of NumPy
    chosen = []
    for run in range(2):
        random.seed(run)
        np.random.seed(run)
        torch.manual_seed(run)
        before = (random.getstate(), numpy_state()[1].tolist(), torch.get_rng_state().tolist())
        chosen.append(subject.select(pool, 10, scratch / str(run), seed=3).ids)
        after = (random.getstate(), numpy_state()[1].tolist(), torch.get_rng_state().tolist())
        for name, old, new in zip(("python's", "numpy's", "torch's"), before, after):
            assert old == new, f"{name} global random state was changed: draw from context.rng"
    assert chosen[0] == chosen[1], "the choice depends on a global seed: draw from context.rng"


def nothing_is_written_outside_scratch(subject: Subject, scratch: Path) -> None:
    """Files are written only under context.scratch, and in the caches of Python, numba and the hub."""
    pool = make_pool(20)
    subject.select(pool, 5, scratch / "warm")  # imports and compilation may fill caches
    with written_outside(scratch) as written:
        subject.select(pool, 5, scratch / "watched")
    assert not written, f"written outside scratch: {written[:3]}"


def neither_labels_nor_test_items_are_read(subject: Subject, scratch: Path) -> None:
    """Hidden labels (selbench.planted, the labels of a pool) and test items (suites, lm_eval) are neither imported by the
    method's module nor reached for while it selects."""
    tree = ast.parse(Path(inspect.getfile(subject.cls)).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    reached = sorted(
        name for name in names if name.startswith(("selbench.planted", "selbench_plugins.suites", "lm_eval"))
    )
    assert not reached, f"it imports {reached}"
    pool = make_pool(20)
    with labels_watched(pool) as reached:
        subject.select(pool, 5, scratch)
    assert not reached, f"while it selects, it reaches for {', '.join(reached)}"


def options_round_trip(subject: Subject, scratch: Path) -> None:
    """Every option has a default and a plain value, and a selector built from its options as JSON is equal."""
    built = subject.build()
    plain = json.loads(json.dumps(dataclasses.asdict(built)))
    for option, value in plain.items():
        if hasattr(held := getattr(built, option), "plugin_kind"):  # a selector: its name with its options
            plain[option] = {"name": held.plugin_name, **value}
    again = dataclasses.replace(subject, options=plain).build()
    assert again == built, "options change on the way through JSON"
    subject.cls()


def edge_pools_work(subject: Subject, scratch: Path) -> None:
    """A pool of one example, a pool of identical examples, and a budget of the whole pool give valid selections."""
    one = make_pool(1)
    same = Pool([dataclasses.replace(one[0], id=f"same{i}") for i in range(9)], "same")
    for name, pool, amount in (
        ("one", one, 1),
        ("identical", same, 4),
        ("identical, all", same, 9),
        ("all", make_pool(17), 1.0),
    ):
        ids = subject.select(pool, amount, scratch / name.replace(", ", "-")).ids
        selector = subject.build()
        expected = len(pool) if amount == 1.0 and isinstance(amount, float) else int(amount)
        if not selector.takes_budget:
            expected = round(selector.share * len(pool))
        assert len(set(ids)) == len(ids) == expected, (
            f"pool '{name}': {len(set(ids))} distinct ids, expected {expected}"
        )


def two_processes_agree(subject: Subject, scratch: Path) -> None:
    """Another process, with another hash seed, chooses the same."""
    here = subject.select(make_pool(40), 10, scratch / "here", seed=2).ids
    # The subject travels as JSON; asdict would keep mappings and sequences that JSON cannot write.
    told = {**dataclasses.asdict(subject), "options": dict(subject.options), "plugin_path": list(subject.plugin_path)}
    done = subprocess.run(
        [sys.executable, "-m", "selbench.testing.elsewhere", json.dumps(told), str(scratch / "there")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "4242"},
    )
    assert done.returncode == 0, f"the other process failed: {done.stderr.strip().splitlines()[-1:]}"
    there = tuple(json.loads(done.stdout.splitlines()[-1]))
    assert here == there, f"this process chose {here[:4]}..., another one {there[:4]}..."


selector_checks: tuple[Callable[[Subject, Path], None], ...] = (
    options_round_trip,
    same_seed_same_ids,
    exactly_the_budget,
    smaller_budgets_are_prefixes,
    order_of_the_pool_does_not_matter,
    edge_pools_work,
    global_randomness_is_left_alone,
    nothing_is_written_outside_scratch,
    neither_labels_nor_test_items_are_read,
    two_processes_agree,
)

__all__ = ["Subject", "default_scorer", "make_pool", "selector_checks"]
