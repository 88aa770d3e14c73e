"""The code that a class rests on, as one hash: its own module, those of its bases, and what all these import.

Counted is what may change a result: everything of the class's own package or folder, of the packages of its bases and
of packages of plugins, and of selbench the modules in `COUNTED`. Other libraries are not: a plugin names those whose
version matters. Imports that only a type checker sees are left out.

The hash is that of the code this process runs: a module that is loaded counts as it was when it was first looked at,
also if its file is edited while a sweep runs.
"""

from __future__ import annotations

import dis
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from selbench.declare import GROUP
from selbench.plugin_folders import package_of
from selbench.store.imports import Stamp, Text, stamp_of, text_of

# What of selbench can change a feature, a selection, a training or a score; the rest carries them from place to place.
COUNTED = (
    "selbench.data.chat",
    "selbench.data.files",
    "selbench.data.forms",
    "selbench.data.pools",
    "selbench.features",
    "selbench.adapters",
    "selbench.kept_model",
    "selbench.models",
    "selbench.optimize",
)
BORROWED = 64  # modules that are followed in the packages of base classes, so that a large library stays cheap


@dataclass(frozen=True)
class Module:
    """A module's file. `name` is dotted; in a folder that is no package (`folder`) it is relative to that."""

    name: str
    place: str
    package: bool = False
    folder: str = ""

    @property
    def top(self) -> str:
        """The package it belongs to; none in a folder."""
        return "" if self.folder else self.name.partition(".")[0]

    def absolute(self, level: int, name: str) -> list[str]:
        """The parts of a name that it imports: one dot is the package it is in, two the one above."""
        parts = name.split(".") if name else []
        if not level:
            return parts
        inside = self.name.split(".") if self.package else self.name.split(".")[:-1]
        return [*inside[: max(0, len(inside) - level + 1)], *parts]


@dataclass
class Roots:
    """Where to start: modules, code without a file; and the packages that count, those of bases only among them."""

    modules: list[Module] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    own: str = ""
    packages: set[str] = field(default_factory=set)
    borrowed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Found:
    """A hash, and the files that would change it when they change: those of modules that are not loaded yet."""

    hash: str
    files: tuple[tuple[str, Stamp | None], ...]

    @property
    def holds(self) -> bool:
        return all(stamp_of(place) == stamp for place, stamp in self.files)


_of_classes: WeakKeyDictionary[type, Found] = WeakKeyDictionary()
_of_modules: dict[str, Found] = {}


def code_hash(cls: type) -> str:
    """The hash of all code that the class rests on. What cannot be read counts by what can be seen of it."""
    known = _of_classes.get(cls)
    if known is None or not known.holds:
        known = _of_classes[cls] = _closure(_roots(cls))
    return known.hash


def module_hash(name: str) -> str:
    """The hash of a module of selbench and of what it imports from the counted ones; it need not be loaded."""
    known = _of_modules.get(name)
    if known is None or not known.holds:
        known = _of_modules[name] = _closure(Roots(_find(name.split("."))[-1:], own="selbench"))
    return known.hash


def _roots(cls: type) -> Roots:
    roots = Roots(packages=_plugin_packages())
    for base in cls.__mro__:
        for name in dict.fromkeys([base.__module__, *_borrowed_from(base)]):
            own = name == cls.__module__
            if _standard(name) or (_of_selbench(name) and not own and not _counted(name)):
                continue
            module = _module_of(name)
            if module is None or stamp_of(module.place) is None:
                roots.codes.append(_own_code(base))
                continue
            roots.modules.append(module)
            roots.packages |= _same_distribution(module.top)
            if own:
                roots.own = module.top
    roots.borrowed = {module.top for module in roots.modules} - {
        "",
        *_same_distribution(roots.own),
        *_plugin_packages(),
    }
    return roots


def _borrowed_from(cls: type) -> Iterator[str]:
    """The modules of functions that stand in the class and come from elsewhere: `select = their_select`."""
    for value in vars(cls).values():
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(value, FunctionType):
            yield value.__module__ or cls.__module__


def _closure(roots: Roots) -> Found:
    loaded = _loaded_modules()
    waiting = list(dict.fromkeys(roots.modules))
    seen = {module.place for module in waiting}
    rows = [("", code) for code in roots.codes]
    files: list[tuple[str, Stamp | None]] = []
    followed = 0
    for module in waiting:  # grows while it is walked
        spec = loaded.get(module.place)
        if spec is None:
            files.append((module.place, stamp_of(module.place)))
        text = text_of(module.place, spec)
        rows.append((_label(module, roots.own), text.hash))
        followed += module.top in roots.borrowed
        if module.top in roots.borrowed and followed > BORROWED:
            continue
        for found in _imported(module, text, roots.packages):
            if found.place not in seen:
                seen.add(found.place)
                waiting.append(found)
    return Found(hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()[:16], tuple(files))


def _label(module: Module, own: str) -> str:
    """Its name, without that of the class's own package: neither that nor a path is in a key."""
    return module.name[len(own) :] if own and module.top == own else module.name


def _imported(module: Module, text: Text, packages: set[str]) -> Iterator[Module]:
    """The counted modules that a file imports, each after the packages it is in."""
    for level, name in text.imports:
        parts = module.absolute(level, name)
        if not parts:
            continue
        if module.folder:
            inside = _find(parts, module.folder)
            if inside and (level or not _means_standard(parts[0], inside[0].place)):
                yield from inside  # even where a library of that name may be meant: better once too often than stale
        if parts[0] in packages:
            yield from _find(parts)
        elif parts[0] == "selbench":
            yield from (found for found in _find(parts) if _counted(found.name))


def _means_standard(name: str, place: str) -> bool:
    """Whether a name that a file of the folder would answer to is that of a module of Python's own."""
    return _standard(name) and _file_of(sys.modules.get(name)) != place


def _counted(name: str) -> bool:
    return any(name == counted or name.startswith(f"{counted}.") for counted in COUNTED)


def _standard(name: str) -> bool:
    """Of Python itself: its version is in the record."""
    return name.partition(".")[0] in {*sys.stdlib_module_names, "typing_extensions"} - {"__main__"}


# ------------------------------------------------------------------------------------------- where modules are


def _find(parts: Sequence[str], folder: str = "") -> list[Module]:
    """The modules that a dotted name goes through: `a` and `a.b` of `a.b.C`. Imports none of them."""
    found: list[Module] = []
    path = [folder] if folder else None
    for position in range(len(parts)):
        name = ".".join(parts[: position + 1])
        spec = _spec_of(name, path, loaded=not folder)
        if spec is None:
            break
        package = spec.submodule_search_locations
        if spec.has_location and spec.origin:
            found.append(Module(name, spec.origin, package is not None, folder))
        if package is None:
            break
        path = list(package)
    return found


def _spec_of(name: str, path: list[str] | None, loaded: bool) -> ModuleSpec | None:
    known = getattr(sys.modules.get(name), "__spec__", None) if loaded else None
    try:
        return known or (importlib.util.find_spec(name) if path is None else PathFinder.find_spec(name, path))
    except Exception:  # finders are anybody's
        return None


def _of_selbench(name: str) -> bool:
    """Whether a module is selbench's own: the folders of plugins only have names as if they were."""
    return name.startswith("selbench.") and not package_of(name)


def _module_of(name: str) -> Module | None:
    """A loaded module: of a package by its full name; one by itself as part of the folder it is in."""
    module = sys.modules.get(name)
    place = _file_of(module)
    if module is None or not place:
        return None
    spec = getattr(module, "__spec__", None)
    name = getattr(spec, "name", None) or name  # `python -m package.module` is called __main__
    head, _, rest = name.partition(".")
    if folder := package_of(name):  # of plugins, which has a package of its own
        rest = name.removeprefix(f"{folder}.")
        return Module(rest, place, hasattr(module, "__path__"), folder=str(sys.modules[folder].__path__[0]))
    package, top = hasattr(module, "__path__"), sys.modules.get(head)
    if (
        package
        or ("." in name and hasattr(top, "__path__"))
        or {"site-packages", "dist-packages"} & set(Path(place).parts)
    ):
        return Module(name, place, package)
    return Module(Path(place).stem, place, folder=str(Path(place).parent))


def _file_of(module: ModuleType | None) -> str:
    return str(vars(module).get("__file__") or "") if isinstance(module, ModuleType) else ""


def _loaded_modules() -> Mapping[str, Any]:
    """File -> what loaded it, of all modules of this process. Asks for no attributes: some libraries load more then."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    return {_file_of(module): vars(module).get("__spec__") or module for module in modules if _file_of(module)}


def _own_code(cls: type) -> str:
    """What can be seen of a class without a file, as one of a notebook: the source of its functions, or their code."""
    rows = []
    for name, value in sorted(vars(cls).items()):
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if isinstance(value, FunctionType):
            try:
                rows.append((name, inspect.getsource(value)))
            except (OSError, TypeError):
                rows.append((name, repr(_plain_code(value.__code__))))
        elif isinstance(value, str | int | float | bool | tuple):
            rows.append((name, repr(value)))
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _plain_code(code: CodeType) -> list[Any]:
    """What code does, without where it stands."""
    steps = [
        (step.opname, None if isinstance(step.argval, CodeType) else repr(step.argval))
        for step in dis.get_instructions(code)
    ]
    return [steps, *(_plain_code(constant) for constant in code.co_consts if isinstance(constant, CodeType))]


# ------------------------------------------------------------------------------------------- whose packages


@cache
def _distributions() -> list[tuple[str, frozenset[str]]]:
    """Of each entry point of plugins: the package it names, and all top packages of the distribution it is from."""
    found = []
    for point in entry_points(group=GROUP):
        top = point.value.partition(":")[0].partition(".")[0]
        listed = (point.dist.read_text("top_level.txt") or "").split() if point.dist else []
        found.append((top, frozenset({top, *listed}) - {"selbench"}))
    return found


def _plugin_packages() -> set[str]:
    """The packages with plugins: a plugin of one may rest on one of another."""
    return {top for top, _ in _distributions()}


def _same_distribution(package: str) -> set[str]:
    """The top packages that are installed together with this one; itself at least."""
    together = {name for _, tops in _distributions() if package in tops for name in tops}
    return together | ({package} - {"", "selbench"})
