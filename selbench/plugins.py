"""Finds plugin modules, lists the plugins in them, and gives one by its kind and name.

Plugins come from packages that an entry point of the group `selbench.plugins` names (selbench's own come so too), and
from the folders and files of `plugin_path`. A module whose name starts with "_" is a private helper and is not imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from selbench import plugin_folders
from selbench.declare import GROUP, WORK
from selbench.errors import PluginError, UserError, unknown

KINDS = tuple(WORK)


@dataclass(frozen=True)
class Plugin:
    """One class that a decorator of `selbench.api` has made a plugin."""

    kind: str  # selector, trainer, suite or pool
    name: str
    cls: type
    origin: str  # the path of its file
    package: str  # the distribution or folder that it belongs to

    @property
    def help(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.cls) or "").split("\n", 1)[0]


@dataclass(frozen=True)
class Broken:
    """A module that cannot be imported, or a decorated class without the method of its kind."""

    name: str  # of the plugin or, where it is unknown, the module
    origin: str  # the path of its file, or the name of its package
    error: str


@dataclass
class Registry:
    """All plugins that were found."""

    plugins: dict[tuple[str, str], Plugin] = field(default_factory=dict)  # by kind and name
    broken: list[Broken] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)  # a sentence for each name that is declared twice
    config_dir: Path | None = None  # a folder of presets that this command line names

    def of_kind(self, kind: str) -> list[Plugin]:
        """The plugins of one kind, sorted by name."""
        return sorted((p for p in self.plugins.values() if p.kind == kind), key=lambda p: p.name)

    def get(self, kind: str, name: str) -> Plugin:
        """The plugin of this kind and name. Raises PluginError with the error if it is broken, UserError if there is none."""
        if found := self.plugins.get((kind, name)):
            return found
        for broken in self.broken:
            if broken.name == name:
                raise PluginError(f"{kind} '{name}' is broken: {broken.origin}: {broken.error}")
        raise UserError(unknown(kind, name, (plugin.name for plugin in self.of_kind(kind))))

    def require_sound(self) -> None:
        """Raises PluginError if a name is declared twice: the order of imports must not decide which one is meant."""
        if self.conflicts:
            raise PluginError(" ".join(self.conflicts))

    def add(self, cls: Any, module: ModuleType, package: str) -> None:
        """Add a decorated class: to the plugins, the broken ones or the conflicts."""
        plugin = Plugin(cls.plugin_kind, cls.plugin_name, cls, str(module.__file__), package)
        other = self.plugins.get((plugin.kind, plugin.name))
        if not callable(getattr(cls, WORK[plugin.kind], None)):
            error = f"class {cls.__name__} is tagged as a {plugin.kind} but has no method {WORK[plugin.kind]}()"
            self.broken.append(Broken(plugin.name, plugin.origin, error))
        elif other and other.cls is not cls:
            self.conflicts.append(
                f"the {plugin.kind} '{plugin.name}' is declared twice: in {other.origin} and in {plugin.origin}; rename one."
            )
        else:
            self.plugins[plugin.kind, plugin.name] = plugin


def discover(plugin_path: Iterable[str] = (), *, anew: bool = True) -> Registry:
    """Import all plugin modules and list their plugins; a module that fails is listed as broken and stops no other.

    With `anew` the modules of `plugin_path` are executed again, because they may have been edited. Objects of their classes
    that are there already can then no longer be pickled, so that a command does it once, at its beginning.

    Raises UserError if a folder or file of `plugin_path` does not exist.
    """
    registry = Registry()
    for point in sorted(set(entry_points(group=GROUP)), key=lambda point: (point.name != "selbench", point.name)):
        package = point.dist.name if point.dist else point.name
        for name, origin in _public_modules(point.value, registry):
            _add_module(registry, name, origin, package, lambda name: importlib.import_module(name))
    files = list(dict.fromkeys(file for named in plugin_path for file in _plugin_files(named)))
    for folder in {file.parent for file in files} if anew else ():
        plugin_folders.forget_folder(folder)
    for file in files:
        _add_module(
            registry, file.stem, str(file), str(file.parent), lambda _, file=file: plugin_folders.import_file(file)
        )
    return registry


def _plugin_files(named: str) -> list[Path]:
    """The modules of a folder whose names do not begin with "_"; a file is itself."""
    where = Path(named).expanduser().resolve()
    if where.is_dir():
        return sorted(where.glob("[!_]*.py"))
    if not where.exists():
        raise UserError(f"plugin_path: the folder {where} does not exist.")
    if where.suffix != ".py":
        raise UserError(f"plugin_path: {where} is neither a folder nor a Python file (.py).")
    return [where]


def _public_modules(package: str, registry: Registry) -> Iterator[tuple[str, str]]:
    """(name, origin) of the public modules of a package, at any depth; of a module that is no package, its own."""
    try:
        root = importlib.import_module(package)
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything, or be a script that exits
        registry.broken.append(Broken(package.rpartition(".")[2], package, _error_with_line(error)))
        return
    if not hasattr(root, "__path__"):
        yield package, str(root.__file__)
        return
    for info in pkgutil.iter_modules(root.__path__, f"{package}."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        if info.ispkg:
            yield from _public_modules(info.name, registry)
        else:
            spec = importlib.util.find_spec(info.name)
            yield info.name, str(spec.origin if spec else info.name)


def _add_module(registry: Registry, name: str, origin: str, package: str, load: Any) -> None:
    try:
        module = load(name)
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything, or be a script that exits
        registry.broken.append(Broken(name.rpartition(".")[2], origin, _error_with_line(error)))
        return
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and vars(cls).get("plugin_kind") in KINDS:
            registry.add(cls, module, package)


def _error_with_line(error: BaseException) -> str:
    """Type and message of an error, with the line in which it was raised."""
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    # Not the lines of the code that imports the module.
    own = [
        f
        for f in frames
        if not f.filename.startswith("<frozen") and f.filename not in (__file__, plugin_folders.__file__)
    ]
    line = f" (line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{line}"


def plugin_path(arguments: Sequence[str]) -> list[str]:
    """The folders of `plugin_path=a` or `plugin_path=[a,b]`, else of SELBENCH_PLUGIN_PATH (separated like PATH).

    It is read before Hydra starts, because the plugins in these folders become part of the valid configuration.
    """
    for argument in reversed(arguments):
        key, _, value = argument.lstrip("+").partition("=")
        if key == "plugin_path":
            return _folders_typed(value)
    return [part for part in os.environ.get("SELBENCH_PLUGIN_PATH", "").split(os.pathsep) if part]


# A value in Hydra's grammar: in quotes, or bare, where a backslash keeps a blank or a comma from ending it.
_VALUE = re.compile(r"""\s*'((?:\\.|[^'\\])*)'\s*|\s*"((?:\\.|[^"\\])*)"\s*|((?:\\.|[^,\\])+)""")


def _folders_typed(value: str) -> list[str]:
    """The folders of one override: `a`, `[a,b]`, `'a b'` or `a\\ b`, which is how Hydra writes a blank."""
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    typed = ("".join(groups).strip() for groups in _VALUE.findall(inside))
    return [re.sub(r"\\(.)", r"\1", folder) for folder in typed if folder not in ("", "null")]


def recorded_plugin_path(config: Mapping[str, Any]) -> list[str]:
    """The folders of plugins that a recorded configuration names."""
    named = config.get("plugin_path") or []
    return [named] if isinstance(named, str) else [str(folder) for folder in named]


def recorded_pools(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The kind of the pool of a recorded configuration, and of its targets by their names.

    Records made before pools were plugins do not name the kind; their pools are files (with a path) or planted.
    """
    named = config.get("plugins") or {}
    targets = config.get("target") or {}
    pool = named.get("pool") or _kind_by_options(config.get("pool") or {})
    return pool, {
        name: named.get("target", {}).get(name) or _kind_by_options(options) for name, options in targets.items()
    }


def _kind_by_options(options: Mapping[str, Any]) -> str:
    return "file" if "path" in options else "planted"
