"""The map is the law: imports point one way, nothing knows what it should not."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from helpers.source_tree import SourceTree

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "selbench"

TREE = SourceTree(ROOT)

# What each room may import from the rest of the package, inside functions and for type checkers too. FREE ones serve all.
FREE = {"addresses", "errors", "files", "hashing", "libraries", "numbers", "presets", "sizes", "stated"}
ALLOWED = {
    "console": set(),
    "held": set(),
    "declare": {"held"},
    "api": {"declare", "held"},
    "data": {"api", "data"},
    "placement": {"api"},
    "models": {"api", "data", "placement"},
    "endpoint": set(),
    "free_memory": set(),
    "adapters": {"free_memory"},
    "kept_model": {"adapters", "api", "free_memory", "models", "placement"},
    "plugin_folders": set(),
    "plugins": {"declare", "plugin_folders"},
    "features": {"api", "data", "kept_model", "models", "placement", "features"},
    "optimize": {"optimize"},
    "store": {"held", "declare", "plugin_folders", "store"},
    "planted": {"api", "data", "models", "placement", "planted"},
    "settings": {"api", "declare"},
    "config": {"held", "api", "config", "endpoint", "launch", "models", "placement", "plugins", "settings"},
    "run": {"held", "api", "data", "declare", "kept_model", "models", "placement", "run", "settings", "store"},
    "statistics": {"statistics"},
    "launch": {"launch", "settings"},
    "report": {"console", "report", "statistics", "store"},
    "comparison": {"comparison", "report", "settings", "statistics", "store"},
    "inspection": {"inspection", "run", "settings", "store"},
    "tracking": {"api", "plugins", "run", "settings", "store", "tracking"},
    "testing": {"held", "api", "data", "declare", "models", "placement", "plugins", "run", "store", "testing"},
    "planning": {"held", "api", "declare", "models", "placement", "planning", "run", "settings", "statistics", "store"},
    "cli": {
        "api",
        "cli",
        "comparison",
        "config",
        "console",
        "data",
        "declare",
        "held",
        "inspection",
        "launch",
        "models",
        "placement",
        "planning",
        "plugins",
        "report",
        "run",
        "settings",
        "statistics",
        "store",
        "testing",
        "tracking",
    },
}


# Files of one name in two rooms. A verb in cli/ may have the name of the room or file that it speaks for.
SAME_NAME = {
    "features": "the room, and the part of a run that asks it for features",
    "files": "writing files, reading a pool's files and the files of a stage",
    "tables": "tables of a plan; tables of a board",
}

# Rooms without a folder of their own in tests/: seen through the command line, by these files.
TESTED_BY = {
    "tracking": ["cli/test_mlflow.py", "cli/test_sync.py"],
}


def _imports(path: Path) -> list[tuple[int, str]]:
    """Line and absolute name of all that a file imports, wherever in it."""
    module = next(module for module in TREE.modules.values() if module.path == path)
    return [(one.line, one.name) for one in module.imports]


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


def test_only_the_command_line_and_the_printed_board_speak():
    """The rest warns with logging, and hands back what there is to say."""
    speaking = {
        path.relative_to(PACKAGE) for path in _files() if any(name == "selbench.console" for _, name in _imports(path))
    }
    assert {path for path in speaking if path.parts[0] != "cli"} == {Path("report/printing.py")}


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: path.name)
def test_plugins_import_only_what_a_stranger_could(path):
    for line, name in _imports(path):
        if name.startswith("selbench."):
            part = name.split(".")[1]
            assert part in {
                "api",
                "data",
                "endpoint",
                "errors",
                "features",
                "hashing",
                "kept_model",
                "libraries",
                "models",
                "placement",
                "optimize",
                "planted",
            }, f"{path}:{line}: {name}"


@pytest.mark.parametrize("module", ["mlflow", "hydra", "omegaconf"])
def test_one_place_knows_each_framework(module):
    home = {"mlflow": {"tracking"}, "hydra": {"config"}, "omegaconf": {"config"}}[module]
    for path in _files():
        if path.relative_to(PACKAGE).parts[0] not in home:
            assert module not in {name.split(".")[0] for _, name in _imports(path)}, path


def test_only_what_is_public_of_hydra_is_used():
    for path in _files():
        assert not [name for _, name in _imports(path) if name.startswith("hydra._internal")], path


@pytest.mark.parametrize("when", [["import"], ["import", "call"], ["import", "call", "typing"]], ids="+".join)
def test_no_modules_import_each_other_in_a_round(when):
    assert TREE.cycles(*when) == []


def test_a_round_is_found_wherever_its_imports_stand(tmp_path):
    """Two modules, one of which imports the other inside a function; three, one of which only for a type checker."""
    texts = {
        "__init__": "",
        "a": "import selbench.b",
        "b": "def f():\n    from . import a",
        "c": "from selbench.d import x",
        "d": "from selbench import e",
        "e": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from selbench.c import y\nelse:\n    import selbench.f",
        "f": "import selbench.d.x\nimport json, selbench",
    }
    (tmp_path / "selbench").mkdir()
    for name, text in texts.items():
        (tmp_path / "selbench" / f"{name}.py").write_text(text)
    tree = SourceTree(tmp_path)
    lazy, typed = ["selbench.a", "selbench.b"], ["selbench.c", "selbench.d", "selbench.e", "selbench.f"]
    assert tree.cycles("import") == [typed[1:]]
    assert sorted(tree.cycles("import", "call")) == [lazy, typed[1:]]
    assert sorted(tree.cycles("import", "call", "typing")) == [lazy, typed]
    assert tree.longest_chain() == ["selbench.c", "selbench.d", "selbench"]


def test_statistics_know_arrays_only():
    free = {"numpy", "scipy", "selbench.statistics"} | set(sys.stdlib_module_names)
    for path in sorted((PACKAGE / "statistics").rglob("*.py")):
        for line, name in _imports(path):
            start = ".".join(name.split(".")[:2]) if name.startswith("selbench") else name.split(".")[0]
            assert start in free, f"{path}:{line}: {name}"


def test_no_two_rooms_have_a_file_of_one_name():
    places: dict[str, list[str]] = {}
    for path in _files():
        if path.name == "__init__.py":
            places.setdefault(path.parent.name, []).append(str(path.parent.relative_to(PACKAGE)))
        elif path.parent.name != "cli":
            places.setdefault(path.stem, []).append(str(path.relative_to(PACKAGE)))
    assert {stem: found for stem, found in places.items() if len(found) > 1 and stem not in SAME_NAME} == {}


def _rooms_with_code() -> list[tuple[str, str]]:
    """(room, its folder in tests/), of selbench/ and of plugins/; a room inside a room is tested with it."""
    found = set()
    for path in [*_files(), *(ROOT / "plugins").rglob("*.py")]:
        parts = path.relative_to(ROOT).parts
        if len(parts) > 2 and path.read_text().strip():
            found.add((parts[1], parts[1] if parts[0] == "selbench" else f"plugins/{parts[1]}"))
    return sorted(found)


@pytest.mark.parametrize("room, folder", _rooms_with_code(), ids=lambda name: name)
def test_tests_mirror_the_source(room, folder):
    places = [folder, *(TESTED_BY.get(room, []) if folder == room else [])]
    if not (ROOT / "tests" / folder).exists():
        places.remove(folder)
    assert places, f"{room} has no folder in tests/"
    for place in places:
        path = ROOT / "tests" / place
        assert path.is_file() or list(path.rglob("test_*.py")), f"tests/{place} holds no test"


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
