"""The map is the law: imports point one way, nothing knows what it should not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "selbench"

# What each part of the package may import from the rest of it. errors, console and presets are free for all.
FREE = {"errors", "console", "presets", "hashing", "libraries"}
ALLOWED = {
    "declare": set(),
    "api": {"declare"},
    "data": {"api", "data"},
    "models": {"api", "data"},
    "plugins": {"declare"},
    "features": {"api", "data", "models", "features"},
    "optimize": {"optimize"},
    "store": {"store"},
    "planted": {"api", "data", "models", "planted"},
    "config": {"api", "data", "planted", "plugins"},
    "run": {"api", "config", "data", "models", "run", "store"},
    "statistics": {"statistics"},
    "report": {"report", "statistics", "store"},
    "comparison": {"comparison", "report", "statistics", "store"},
    "inspection": {"config", "inspection", "run", "store"},
    "tracking": {"api", "config", "run", "store", "tracking"},
    "testing": {"api", "data", "plugins", "testing"},
    "planning": {"api", "config", "declare", "models", "planning", "run", "statistics", "store"},
    "cli": {
        "api",
        "cli",
        "comparison",
        "config",
        "data",
        "declare",
        "inspection",
        "planning",
        "plugins",
        "report",
        "run",
        "statistics",
        "store",
        "testing",
        "tracking",
    },
}


def _imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # "from selbench import console" names a module, "from selbench.api import Pool" a thing in one
            whole = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "selbench" else [node.module]
            )
            found += [(node.lineno, name) for name in whole]
    return found


def _files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in FREE:
        return
    for line, name in _imports(path):
        assert not name.startswith("selbench_plugins"), f"{path}:{line}: the package must not know its plugins"
        head, _, rest = name.partition(".")
        if head == "selbench" and rest and rest.split(".")[0] != "__version__":
            target = rest.split(".")[0]
            assert target in ALLOWED[part] | FREE, f"{path}:{line}: {part} must not import {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: path.name)
def test_plugins_import_only_what_a_stranger_could(path):
    for line, name in _imports(path):
        if name.startswith("selbench."):
            part = name.split(".")[1]
            assert part in {"api", "data", "errors", "features", "hashing", "libraries", "models", "optimize"}, (
                f"{path}:{line}: {name}"
            )


@pytest.mark.parametrize("module", ["mlflow", "hydra", "omegaconf"])
def test_one_place_knows_each_framework(module):
    home = {"mlflow": {"tracking"}, "hydra": {"config.py", "cli"}, "omegaconf": {"config.py", "cli"}}[module]
    for path in _files():
        if path.relative_to(PACKAGE).parts[0] not in home:
            assert module not in {name.split(".")[0] for _, name in _imports(path)}, path


def test_every_file_opens_by_saying_what_it_is_for():
    silent = [
        path for path in _files() if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


# The folders of an output folder, and the files of a run's: spelled out where they are owned, and nowhere else.
OUTPUT_FOLDERS = {"runs", "store", "sweeps", "reports", "inspect", "selections", "fetched"}
OUTPUT_FILES = {"mlflow.db", "selection.json", "items.parquet", "record.json", "traceback.txt"}


def _texts(path: Path) -> list[tuple[int, str]]:
    """Output folders that are joined to a path, and output files anywhere, with the lines they stand in."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            found += [(node.lineno, node.right.value)] if node.right.value in OUTPUT_FOLDERS else []
        elif isinstance(node, ast.Constant) and node.value in OUTPUT_FILES:
            found.append((node.lineno, node.value))
    return found


def test_the_output_folder_is_spelled_out_where_it_is_owned():
    found = {str(path.relative_to(PACKAGE)): _texts(path) for path in _files()}
    assert {path for path, texts in found.items() if texts} == {"store/outputs.py", "store/records.py"}, found


def test_the_axes_of_a_record_are_attributes():
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            by_key = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.value
            by_get = isinstance(node, ast.Attribute) and node.attr == "get" and node.value
            of = by_key or by_get
            if of and path.parts[-2] != "inspection":  # axes of a figure there
                assert getattr(of, "attr", getattr(of, "id", "")) != "axes", f"{path}:{node.lineno}"
