"""Imports the plugin files of a folder so that they find their helpers beside them, and no other folder's."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

# A folder is the package PREFIX + its path in hexadecimal. Its name says where it is, so that any process that can import
# selbench can import it, such as one of a launcher's that is handed its classes.
PREFIX = f"{__name__}.path_"
__path__: list[str] = []  # such packages are found by the finder below, and are no files of selbench's
DEPTH = PREFIX.count(".") + 1
DOT = "\N{MIDDLE DOT}"  # stands for a dot of a file's name, which in a module's name would begin another module


def import_file(file: Path) -> ModuleType:
    """The module of a file, executed now. Its folder is a package of its own, so that two folders may both have a mine.py.

    `import helpers` and `from .helpers import x` find the file `helpers.py`, or the package `helpers`, beside it.
    Names of the standard library mean the standard library, and a module's own name something installed.
    """
    return importlib.import_module(f"{_package(file.parent)}.{file.stem.replace('.', DOT)}")


def forget_folder(folder: Path) -> None:
    """Execute the modules of a folder anew when they are next imported: they may have been edited."""
    package = _package(folder)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        del sys.modules[name]


def _package(folder: Path) -> str:
    """The name of the folder's package."""
    return PREFIX + os.fsencode(folder).hex()


def package_of(module: str) -> str:
    """The package of the folder that a module with this full name is in; empty for one of no such folder."""
    return ".".join(module.split(".")[:DEPTH]) if module.startswith(PREFIX) else ""


class _Loader(SourceFileLoader):
    """Gives a module an `import` of its own before it is executed."""

    def exec_module(self, module: ModuleType) -> None:
        package = package_of(module.__name__)
        folder = Path(sys.modules[package].__path__[0])
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _sibling_import(package, folder)}
        importlib.invalidate_caches()
        super().exec_module(module)


class _Finder:
    """Finds the modules of our packages of folders, at any depth."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(PREFIX):
            return None
        if name == package_of(name):
            found = ModuleSpec(name, None, is_package=True)
            found.submodule_search_locations = [os.fsdecode(bytes.fromhex(name.removeprefix(PREFIX)))]
            return found
        if not path:
            return None
        stem = name.rpartition(".")[2]
        for folder in map(Path, path):
            if (file := folder / stem / "__init__.py").is_file():
                loader = _Loader(name, str(file))
                return importlib.util.spec_from_file_location(
                    name, file, loader=loader, submodule_search_locations=[str(folder / stem)]
                )
            if (file := folder / f"{stem.replace(DOT, '.')}.py").is_file():
                return importlib.util.spec_from_file_location(name, file, loader=_Loader(name, str(file)))
        return None


if not any(getattr(finder, "__qualname__", "") == _Finder.__qualname__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _Finder)


def _sibling_import(package: str, folder: Path) -> Callable[..., Any]:
    """An `__import__` that looks in the folder first."""

    def __import__(
        name: str,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        first = name.partition(".")[0]
        own = (globals or {}).get("__name__")
        if level == 0 and own != f"{package}.{first}" and _is_beside(folder, first):
            module = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or (), 0)
            return module if fromlist else sys.modules[f"{package}.{first}"]
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    return __import__


def _is_beside(folder: Path, name: str) -> bool:
    if name in sys.stdlib_module_names:
        return False
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
