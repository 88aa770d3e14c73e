"""The documentation of plugins holds: its examples pass a type checker, which refuses faulty ones; its tables are whole."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import selbench.features
import selbench.optimize

ROOT = Path(__file__).parents[2]
HEAD = """from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from selbench.api import *
"""


def _documented(path: str) -> list[str]:
    """The Python blocks of a page that declare a plugin or a feature."""
    return [block for block in re.findall(r"```python\n(.*?)```", (ROOT / path).read_text(), re.S) if "class " in block]


(SHORTEST,) = _documented("README.md")
ACCEPTED = {
    "readme": SHORTEST + "\nShortest(by_words=True)\nShortest()\n",
    **{f"docs_{i}": block for i, block in enumerate(_documented("docs/plugins.md"))},
    "inherited": """
Colour = Literal["red", "green"]

@dataclass
class Painted:
    colour: Colour = "red"
    tins: list[str] = field(default_factory=list)

@selector("painted", stochastic=True)
class Wall(Painted):
    size: int = 1
    def select(self, pool, budget, context):
        return Selection.ordered(range(len(pool)), budget)

Wall(colour="green", size=3, tins=["a"])
""",
    "others": """
@trainer("mine")
class Mine:
    steps: int = 1
    def train(self, examples: Sequence[Example], model: ModelRef, context: Context) -> ModelRef:
        return model

@suite("mine")
class Scores:
    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        return []

@pool("mine")
class Rows:
    name: str = "rows"
    def load(self) -> LoadedPool:
        return LoadedPool(Pool([], self.name))

Mine(steps=3), Scores(), Rows(name="x")
""",
}
# The snippet, and what mypy's message must name.
REFUSED = {
    "misspelt": (SHORTEST + "\nShortest(by_word=True)\n", 'Unexpected keyword argument "by_word"'),
    "wrong_type": (SHORTEST + '\nShortest(by_words="yes")\n', 'incompatible type "str"; expected "bool"'),
    "wrong_choice": (
        '@selector("c")\nclass C:\n    c: Literal["a", "b"] = "a"\n'
        "    def select(self, pool, budget, context):\n        return Selection(())\n\nC(c='d')\n",
        "incompatible type \"Literal['d']\"",
    ),
    "select_without_budget": (
        '@selector("s")\nclass S:\n    def select(self, pool: Pool, context: Context) -> Selection:\n'
        "        return Selection(())\n",
        '"S"',
    ),
    "select_gives_ids": (
        '@selector("i")\nclass Ids:\n    def select(self, pool: Pool, budget: Budget, context: Context) -> list[str]:\n'
        "        return []\n",
        '"Ids"',
    ),
    "trainer_without_train": ('@trainer("t")\nclass T:\n    steps: int = 1\n', '"T"'),
    "suite_without_evaluate": ('@suite("e")\nclass E:\n    limit: int = 1\n', '"E"'),
    "pool_without_load": ('@pool("p")\nclass Rows:\n    size: int = 1\n', '"Rows"'),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Snippet -> mypy's errors, from one call for all of them."""
    folder = tmp_path_factory.mktemp("typed")
    for name, source in {**ACCEPTED, **{name: source for name, (source, _) in REFUSED.items()}}.items():
        (folder / f"{name}.py").write_text(HEAD + source.replace("from __future__ import annotations\n", ""))
    command = [sys.executable, "-m", "mypy", "--config-file=", "--check-untyped-defs", "--ignore-missing-imports"]
    command += ["--follow-imports=silent", f"--cache-dir={ROOT / '.mypy_cache'}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors: dict[str, list[str]] = {name: [] for name in (*ACCEPTED, *REFUSED)}
    for line in done.stdout.splitlines():
        if found := re.match(r".*?(\w+)\.py:\d+: error: (.*)", line):
            errors[found[1]].append(found[2])
    return errors


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_sound_plugin_is_accepted(said, name):
    assert said[name] == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_faulty_plugin_is_refused(said, name):
    assert len(said[name]) == 1 and REFUSED[name][1] in said[name][0], said[name]


def test_the_tables_name_every_feature_and_optimiser_and_nothing_else():
    named = set(re.findall(r"^\| `(selbench\.\w+\.\w+\.\w+)` \|", (ROOT / "docs/plugins.md").read_text(), re.M))
    assert named == _features() | _optimisers()


def _features() -> set[str]:
    """Public dataclasses with `needs_scorer`: a Protocol and what is made while computing are none."""
    return {
        f"{module.__name__}.{name}"
        for module in _modules(selbench.features)
        for name, thing in vars(module).items()
        if _own(module, name, thing) and "needs_scorer" in vars(thing) and "__dataclass_fields__" in vars(thing)
    }


def _optimisers() -> set[str]:
    """Public functions, but for kernels and the tools to build them."""
    return {
        f"{module.__name__}.{name}"
        for module in _modules(selbench.optimize)
        for name, thing in vars(module).items()
        if _own(module, name, thing) and inspect.isfunction(thing)
        if not module.__name__.endswith(("_kernel", ".compiled"))
    }


def _modules(package):
    return [
        importlib.import_module(f"{package.__name__}.{found.name}") for found in pkgutil.iter_modules(package.__path__)
    ]


def _own(module, name: str, thing: object) -> bool:
    return not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__ and callable(thing)
