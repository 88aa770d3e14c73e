"""Composition of the settings of runs, and expansion of grids: the one module that knows Hydra and OmegaConf."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from selbench.addresses import GROUPS, NAMED, SINGLE, Address, Part, address, addressed
from selbench.api import ModelRef
from selbench.errors import NotApplicable, UserError, unknown
from selbench.models import gpu_is_here, resolved_dtype
from selbench.plugins import Registry, discover, plugin_path, recorded_plugin_path, recorded_pools
from selbench.presets import CONFIG_MODULE, choices, packages, presets, require_distinct
from selbench.settings import Config, PlainSettings, Run, Tracking, check_choices

__all__ = [
    "Cell",
    "CommandLine",
    "Run",
    "Tracking",
    "arguments_for_hydra",
    "command_line",
    "composed",
    "composed_run",
    "launch",
    "run_of_record",
]

PRIMARY = "config"
HERE = ("basic", "joblib", "submitit_local")  # launchers that stay on the machine


# ------------------------------------------------------------------------- the names that settings may have


class PackagePresets(SearchPathPlugin):
    """Lets Hydra find the presets of installed packages."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for package in packages():
            search_path.append(package, f"pkg://{package}")


def registered(overrides: Sequence[str], config_dir: Path | None = None) -> Registry:
    """The plugins and presets that a command line may name, found and made known to Hydra.

    Raises UserError if a folder does not exist, or if two plugins or two presets have one name.
    """
    registry = discover(plugin_path(overrides))
    if config_dir is not None:
        registry.config_dir = config_dir.expanduser().resolve()
        if not registry.config_dir.is_dir():
            raise UserError(f"--config-dir: the folder {registry.config_dir} does not exist.")
    register(registry)
    return registry


def register(registry: Registry) -> None:
    """Put the dataclasses of the settings and of every plugin into Hydra's ConfigStore, as schemas.

    Raises UserError (PluginError for plugins) if a name was declared twice.
    """
    registry.require_sound()
    require_distinct(registry.config_dir)
    Plugins.instance().register(PackagePresets)
    OmegaConf.register_new_resolver("builtin", lambda path: str(Path(str(files("selbench"))) / path), replace=True)
    OmegaConf.register_new_resolver("package", lambda name: str(files(name)), replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(group="model", name="schema", node=ModelRef)
    for plugin in registry.plugins.values():
        package = f"suite.{plugin.name}" if plugin.kind == "suite" else plugin.kind
        store.store(group=plugin.kind, name=plugin.name, node=plugin.cls, package=package)
        if plugin.kind == "pool":  # the schema's name in presets of users from before pools were plugins
            for group in ("pool", "target"):
                store.store(group=group, name=f"schema_{plugin.name}", node=plugin.cls)
        # Every pool can be a target: `target=X` has the options target.X.*; a preset of that name stands for itself.
        if plugin.kind == "pool" and plugin.name not in presets("target", registry.config_dir):
            store.store(group="target", name=plugin.name, node=plugin.cls, package=f"target.{plugin.name}")
    # Every model can be a scorer: `scorer=X` reads the same file as `model=X`.
    for name in presets("model", registry.config_dir):
        store.store(group="scorer", name=name, node={"defaults": [{"/model@_here_": name}]}, package="scorer")


# ------------------------------------------------------------------------------------------ composition


@contextmanager
def composing() -> Iterator[None]:
    """Hydra's global state, which its compose API needs; removed at the end, for a Hydra program that may follow."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().clear()


@dataclass(frozen=True)
class Cell:
    """One cell of a grid: its settings as typed, and the run they compose to."""

    overrides: list[str]  # key=value, one value each
    run: Run


def composed(overrides: Sequence[str], multirun: bool = False, config_dir: Path | None = None) -> list[Cell]:
    """The cells of a command line: one run, or with `multirun` the grid. No data or model is read.

    Raises UserError for settings that no run can be composed of, and for a grid without `multirun`.
    """
    registry = registered(overrides, config_dir)
    found = _with_presets_folder(overrides, registry)
    if not multirun:
        cell = only_cell(found, registry)
        return [compose_cell(cell, registry)]
    cells = _distinct(compose_cell(cell, registry) for cell in expand(found, registry))
    # With a GPU here, bfloat16 is what one elsewhere would be given too; it takes a second to know the launcher.
    if (
        gpu_is_here()
        or not any(cell.run.dtype_by_machine for cell in cells)
        or _launcher(cells[0].overrides, registry) in HERE
    ):
        return cells
    return [Cell(cell.overrides, dataclasses.replace(cell.run, elsewhere=True)) for cell in cells]


def _launcher(overrides: Sequence[str], registry: Registry) -> str:
    """The name of Hydra's launcher that would carry out a grid, from the settings of one of its cells."""
    config = compose_config([*overrides, "hydra.mode=MULTIRUN"], registry, with_hydra=True)
    return str(config.hydra.runtime.choices["hydra/launcher"])


def _distinct(cells: Iterable[Cell]) -> list[Cell]:
    """The cells without those whose settings, as composed, are those of an earlier one: `budget=0.1,0.10` is one."""
    return list(
        {json.dumps(cell.run.resolved, sort_keys=True, default=str): cell for cell in reversed([*cells])}.values()
    )[::-1]


def composed_run(overrides: Sequence[str], config_dir: Path | None = None) -> Run:
    """One run. An experiment that is a grid gives the run without the grid's axes.

    Raises UserError for settings that no run can be composed of.
    """
    registry = registered(overrides, config_dir)
    found = _with_presets_folder(overrides, registry)
    return compose_run(single_cell(found, registry, "one run is needed here"), registry)


def _with_presets_folder(overrides: Sequence[str], registry: Registry) -> list[str]:
    """The overrides with the folder of presets as one of them, so that a cell that is run alone finds it too."""
    overrides = [
        f"{key}{sign}{_hydras_value(key, value)}" for key, sign, value in (text.partition("=") for text in overrides)
    ]
    return [*overrides, *([f"hydra.searchpath=[file://{registry.config_dir}]"] if registry.config_dir else [])]


def compose_config(overrides: Sequence[str], registry: Registry, with_hydra: bool = False) -> DictConfig:
    """The composed configuration of one cell. Raises UserError, one sentence with the valid choices."""
    with composing(), _explained(registry):
        return compose(PRIMARY, overrides=list(overrides), return_hydra_config=with_hydra)


def compose_run(overrides: Sequence[str], registry: Registry) -> Run:
    """The run of one cell's overrides. Raises UserError for settings that no run can be composed of."""
    return compose_cell(overrides, registry).run


def compose_cell(overrides: Sequence[str], registry: Registry) -> Cell:
    """The cell of these overrides. Raises UserError for settings that no run can be composed of.

    A preset that is the value of an option (`selector.like=kcenter_tfidf`) is replaced by its plugin and options, because
    whoever carries out the cell may not know the folder of presets.
    """
    config = compose_config(overrides, registry)
    for key, value in _presets_in_options(config, registry).items():
        overrides = [*(text for text in overrides if text.partition("=")[0] != key), f"{key}={value}"]
        config = compose_config(overrides, registry)
    return Cell(list(overrides), to_run(config))


def _presets_in_options(config: DictConfig, registry: Registry) -> dict[str, str]:
    """`selector.OPTION` -> the value in Hydra's words, for each option whose value is a preset of a selector."""
    found = {}
    folder = [f"hydra.searchpath=[file://{registry.config_dir}]"] if registry.config_dir else []
    for option in _selector_options(OmegaConf.get_type(config.selector)):
        name, options = _name_and_rest(config.selector[option], option)
        if name in presets("selector", registry.config_dir) and ("selector", name) not in registry.plugins:
            node = compose_config([*folder, f"selector={name}"], registry).selector
            cls: Any = OmegaConf.get_type(node)
            filled: Any = OmegaConf.to_container(node)
            whole = {"name": cls.plugin_name, **filled, **options}
            found[f"selector.{option}"] = _in_hydras_words(whole)
    return found


def _selector_options(cls: type | None) -> list[str]:
    """The options of a plugin whose value is a selector."""
    fields = dataclasses.fields(cls) if cls is not None and dataclasses.is_dataclass(cls) else ()
    return [item.name for item in fields if item.metadata.get("plugin") == "selector"]


def _name_and_rest(value: Any, option: str) -> tuple[str | None, dict[str, Any]]:
    """Name and options of a selector that is the value of an option: of `mads`, or `{name: mads, layers: all}`."""
    if value is None or isinstance(value, str):
        return value, {}
    options = dict(value) if isinstance(value, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UserError(
            f"selector.{option} is a selector: its name, or with options {{name: mads, layers: all}}; not {value}."
        )
    return name, options


def _in_hydras_words(value: Any) -> str:
    """A plain value as an override's, in which a text may hold anything."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_in_hydras_words(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_in_hydras_words, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _with_selectors_in_options(selector: Any, resolved: dict[str, Any], folders: Sequence[str]) -> Any:
    """The selector with each option that names another one replaced by that one; `resolved` gets its name and options.

    Raises UserError for an unknown name or option.
    """
    for option in _selector_options(type(selector)):
        name, options = _name_and_rest(resolved.get(option), option)
        if name is None:
            continue
        registry = discover(folders)
        if ("selector", name) not in registry.plugins:
            raise UserError(unknown(f"selector.{option}", name, choices("selector", registry)))
        try:
            node = OmegaConf.merge(OmegaConf.structured(registry.get("selector", name).cls), options)
        except OmegaConfBaseException as error:
            raise UserError(f"selector.{option}={name}: {explain(error, registry)}") from error
        selector = dataclasses.replace(selector, **{option: OmegaConf.to_object(node)})
        resolved[option] = {"name": name, **OmegaConf.to_container(node)}  # type: ignore[dict-item]
    return selector


def to_run(config: DictConfig) -> Run:
    """The run, in plain and validated objects, of a composed configuration. Raises UserError for invalid settings."""
    with _explained(None):
        resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        model: Any = OmegaConf.to_object(config.model)
        scorer: Any = OmegaConf.to_object(config.scorer) if config.scorer is not None else model
        suites: dict[str, Any] = {str(name): OmegaConf.to_object(node) for name, node in config.suite.items()}
        targets: dict[str, Any] = {str(name): OmegaConf.to_object(node) for name, node in config.target.items()}
        objects: dict[str, Any] = {
            key: OmegaConf.to_object(config[key]) for key in ("pool", "selector", "trainer", "tracking")
        }
        objects["selector"] = _with_selectors_in_options(
            objects["selector"], resolved["selector"], recorded_plugin_path(resolved)
        )
        plain: dict[str, Any] = {item.name: config[item.name] for item in dataclasses.fields(PlainSettings)}
    check_choices(resolved)
    by_machine = config.auto_dtype is None and "auto" in (model.dtype, scorer.dtype)
    for ref, key in ((model, "model"), (scorer, "scorer")):
        if ref.dtype == "auto":
            ref.dtype = config.auto_dtype or resolved_dtype("auto")
        if resolved[key] is not None:
            resolved[key]["dtype"] = ref.dtype
    if not suites:
        raise UserError("no suite: name at least one, e.g. suite=planted or suite=[response_loss,arc_easy].")
    for ref, key in ((model, "model"), (scorer, "scorer")):
        if not ref.path:
            raise UserError(f"{key}.path is empty: name a folder or a hub model.")
    named = {"pool": objects["pool"], "model": model, **({"scorer": scorer} if resolved["scorer"] else {})}
    for key, thing in named.items():  # a name that follows from a path, as the record is to show it
        if "name" in resolved[key]:
            resolved[key]["name"] = thing.name
    return Run(
        **plain,
        **objects,
        scorer=scorer,
        model=model,
        dtype_by_machine=by_machine,
        suites=suites,
        targets=targets,
        output_dir=Path(config.output_dir).expanduser(),
        started=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        resolved={
            **resolved,
            "selector": {"name": objects["selector"].plugin_name, **resolved["selector"]},
            "plugins": {  # the plugins whose options stand above, because the names there may be those of presets
                "pool": objects["pool"].plugin_name,
                "target": {name: target.plugin_name for name, target in targets.items()},
                "trainer": objects["trainer"].plugin_name,
                "suite": {name: suite.plugin_name for name, suite in suites.items()},
            },
        },
    )


def as_yaml(config: Mapping[str, Any]) -> str:
    """A recorded configuration as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


# ------------------------------------------------------------------------------------------------- grids


def expand(overrides: Sequence[str], registry: Registry) -> list[list[str]]:
    """The overrides of each cell of a grid, as Hydra's basic sweeper makes them.

    The experiment's own axes come first, then those of the command line; the last axis changes fastest. Raises
    UserError for an override that cannot be read, or an interval.
    """
    with composing(), _explained(registry):
        settled = [text for text in overrides if not addressed(text) and not _is_sweep(text)]
        config = compose(PRIMARY, overrides=[*settled, "hydra.mode=MULTIRUN"], return_hydra_config=True)
        own = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        # glob(...) needs the loader, which by now knows every folder of presets.
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        return cells_of(overrides, parser, registry, own)


def single_cell(overrides: Sequence[str], registry: Registry, advice: str) -> list[str]:
    """The overrides of one run. Raises UserError, which ends with the advice, for an option with several values."""
    if not any(map(addressed, overrides)):
        return list(overrides)
    for text in filter(addressed, overrides):
        with _explained(registry):
            several = _is_sweep(f"option={text.partition('=')[2]}")
        if several:
            raise UserError(
                f"{text} names several values: {advice}; a list is typed as {text.partition('=')[0]}=[a,b]."
            )
    plain = [text for text in overrides if not addressed(text)]
    with _explained(registry):
        swept = [text for text in plain if _is_sweep(text)]
    if swept:
        return plain  # whoever composes them says what is wrong
    with composing(), _explained(registry):
        (cell,) = cells_of(overrides, OverridesParser.create(), registry)
    return cell


@dataclass(frozen=True)
class Axis:
    """One setting of a grid with its values, of which most settings have one."""

    key: str  # as typed
    address: Address | None  # the parts that it is for; None for a setting of whole cells
    values: list[str]
    typed: bool = True  # on the command line, as opposed to an axis of an experiment

    @property
    def rank(self) -> tuple[bool, bool]:
        """Of two that set one option of a part the higher is meant: the typed one, then the one that names the part."""
        return self.typed, bool(self.address and self.address.name)


def cells_of(
    overrides: Sequence[str], parser: OverridesParser, registry: Registry, experiment: Sequence[str] = ()
) -> list[list[str]]:
    """The distinct cells of the overrides, each with those options that are for its own parts.

    The axes of an experiment come first; a setting that is named again keeps its place and takes the later values.
    Raises UserError for an option that no part of any cell has, unless the experiment names it: a command line may leave
    out some of its selectors. For use within `composing()`.
    """
    names = {group: choices(group, registry) for group in GROUPS}
    axes: dict[Any, Axis] = {}
    typed = [_axis(text, parser, names) for text in overrides]
    own = [dataclasses.replace(_axis(text, parser, names), typed=False) for text in experiment]
    for axis in [*own, *typed]:
        axes[axis.address or axis.key] = axis
    found = list(axes.values())
    cells = [list(zip(found, values)) for values in itertools.product(*(axis.values for axis in found))]
    if not any(axis.address for axis in found):
        return _without_repeats([f"{axis.key}={value}" for axis, value in cell] for cell in cells)
    parts_of = PartsOfCells(registry, {axis.address.group for axis in found if axis.address and axis.address.name})
    parts = [parts_of([f"{axis.key}={value}" for axis, value in cell if not axis.address]) for cell in cells]
    grid = list({id(part): part for each in parts for part in each}.values())
    for axis in typed:
        if axis.address:
            axis.address.require_a_part(grid)
    return _without_repeats(_addressed_cell(cell, own, grid) for cell, own in zip(cells, parts))


def _addressed_cell(cell: Sequence[tuple[Axis, str]], parts: Sequence[Part], grid: Sequence[Part]) -> list[str]:
    """The overrides of one cell, with the options of its own parts."""
    settings: dict[str | int, tuple[tuple[bool, bool], str]] = {}
    for position, (axis, value) in enumerate(cell):
        if axis.address is None:
            settings[position] = axis.rank, f"{axis.key}={value}"
            continue
        for part in parts:
            key = part.setting(axis.address.option)
            if axis.address.is_for(part, grid) and (key not in settings or axis.rank >= settings[key][0]):
                settings[key] = axis.rank, f"{key}={value}"
    return [text for _, text in settings.values()]


def _without_repeats(cells: Iterable[list[str]]) -> list[list[str]]:
    return [list(cell) for cell in dict.fromkeys(map(tuple, cells))]


def _axis(text: str, parser: OverridesParser, names: Mapping[str, Sequence[str]]) -> Axis:
    """One setting with its values. Raises HydraException for one that cannot be read, or an interval."""
    key, _, typed = text.partition("=")
    found = address(key, names)
    # Hydra's grammar has no place for a name with a dash or a dot, so only the value is read by it.
    (override,) = parser.parse_overrides([f"{found.group}.{found.option}={typed}" if found else text])
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
    return Axis(key if found else override.get_key_element(), found, [_hydras_value(key, value) for value in values])


def _hydras_value(key: str, value: str) -> str:
    """A value in the words of Hydra: `budget=10%` is 0.1, and no scorer is [], as a choice must not be null."""
    if key == "scorer" and value == "null":
        return "[]"
    if key == "budget" and (share := re.fullmatch(r"['\"]?(\d+(?:\.\d+)?)\s*%['\"]?", value)):
        return repr(float(Decimal(share[1]) / 100))
    return value


class PartsOfCells:
    """The parts of cells, by their composed settings. Cells with the same choices share them, the objects too."""

    def __init__(self, registry: Registry, by_name: Collection[str]) -> None:
        self.registry = registry
        self.by_name = by_name  # the groups of which an option is addressed by name
        self._found: dict[tuple[str, ...], list[Part]] = {}
        self._keys: dict[tuple[str, str], list[str]] = {}

    def __call__(self, overrides: Sequence[str]) -> list[Part]:
        """The parts of a cell with these overrides, which hold no options. Raises HydraException if they do not compose."""
        plain = {item.name for item in dataclasses.fields(PlainSettings)}
        deciding = tuple(text for text in overrides if text.partition("=")[0] not in plain)
        if deciding not in self._found:
            self._found[deciding] = self._parts(deciding)
        return self._found[deciding]

    def _parts(self, overrides: Sequence[str]) -> list[Part]:
        config = compose(PRIMARY, overrides=list(overrides), return_hydra_config=True)
        chosen = config.hydra.runtime.choices
        parts = [
            _part(config[group], group, choice=str(chosen.get(group, "")))
            for group in SINGLE
            if config[group] is not None
        ]
        for group in NAMED:
            named = self._choices_by_key(group, overrides)
            parts += [_part(node, group, named.get(key, ""), key) for key, node in config[group].items()]
        return parts

    def _choices_by_key(self, group: str, overrides: Sequence[str]) -> dict[str, str]:
        """Suite or target -> the choice that made it, which may have another name; for groups addressed by name."""
        typed = [text.partition("=")[2] for text in overrides if text.partition("=")[0] == group]
        if group not in self.by_name or not typed:
            return {}
        names = [name.strip(" '\"") for name in typed[-1].strip("[]").split(",") if name.strip()]
        return {key: name for name in names for key in self._keys_of(group, name)}

    def _keys_of(self, group: str, name: str) -> list[str]:
        """The suites or targets that a choice makes: one for most, six for `suite=common`."""
        if (group, name) not in self._keys:
            folder = [f"hydra.searchpath=[file://{self.registry.config_dir}]"] if self.registry.config_dir else []
            self._keys[group, name] = [*map(str, compose(PRIMARY, overrides=[*folder, f"{group}=[{name}]"])[group])]
        return self._keys[group, name]


def _part(node: DictConfig, group: str, choice: str, key: str = "") -> Part:
    cls = OmegaConf.get_type(node)
    options = {str(name): OmegaConf.is_dict(OmegaConf.select(node, str(name), throw_on_missing=False)) for name in node}
    return Part(group, getattr(cls, "plugin_name", ""), options, choice, key)


def only_cell(overrides: Sequence[str], registry: Registry) -> list[str]:
    """The overrides of one run. Those of one cell of an experiment's grid are one run.

    Raises UserError, saying that -m is missing, if a setting has several values or the experiment is a grid.
    """
    with _explained(registry):
        grids = [text for text in overrides if not addressed(text) and _is_sweep(text)]
    if grids:
        raise UserError(f"{grids[0]} names several values: add -m to run the grid.")
    cell = single_cell(overrides, registry, "add -m to run the grid")
    if not compose_config(cell, registry, with_hydra=True).hydra.sweeper.get("params"):
        return cell
    cells = expand(overrides, registry)
    if len(cells) > 1:
        raise UserError("this experiment is a grid: add -m, as in `selbench -m experiment=...`.")
    return cells[0]


def _is_sweep(text: str) -> bool:
    (override,) = OverridesParser.create().parse_overrides([text])  # unlike parse_override, names it in an error
    return bool(override.is_sweep_override())


# ----------------------------------------------------------------------------------------- Hydra's program


@dataclass(frozen=True)
class CommandLine:
    """A command line as typed: the settings, and those flags of Hydra's that selbench reads itself."""

    overrides: list[str]  # the settings, key=value
    multirun: bool = False
    config_dir: Path | None = None
    help: bool = False
    for_hydra: bool = False  # whether there is a flag that only Hydra understands, as --cfg job


def command_line(arguments: Sequence[str]) -> CommandLine:
    """The settings and flags of a command line. Raises UserError for --config-name and --config-path."""
    parser = argparse.ArgumentParser(add_help=False, prog="selbench")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--run", "-r", action="store_true")
    for long, short in (("dir", "cd"), ("name", "cn"), ("path", "cp")):
        parser.add_argument(f"--config-{long}", f"-{short}")
    # Hydra has no public parser of its flags. They are declared here so that their values are not taken for settings.
    hydras = [parser.add_argument("--info", "-i", nargs="?", const="all")]
    hydras += [parser.add_argument(*names) for names in (("--cfg", "-c"), ("--experimental-rerun",))]
    for names in (("--hydra-help",), ("--shell-completion", "-sc"), ("--version",)):
        hydras.append(parser.add_argument(*names, action="store_true"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    flags, not_known = parser.parse_known_intermixed_args(list(arguments))
    if flags.config_name or flags.config_path:
        raise UserError(
            "--config-name and --config-path are fixed; add a folder of your own configs with --config-dir DIR."
        )
    return CommandLine(
        flags.overrides,
        flags.multirun,
        Path(flags.config_dir) if flags.config_dir else None,
        flags.help,
        bool(not_known) or any(getattr(flags, flag.dest) for flag in hydras),
    )


class ListedCells(Sweeper):
    """Hands Hydra's launcher the cells that `composed` gave, which are not a product of axes where options have owners."""

    cells: Sequence[Sequence[str]] = ()

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch every cell, in batches of `hydra.sweeper.max_batch_size`. Raises what a job has raised."""
        size = self.max_batch_size if self.max_batch_size and self.max_batch_size > 0 else max(1, len(self.cells))
        returned = []
        for start in range(0, len(self.cells), size):
            returned.append(self._launcher.launch(self.cells[start : start + size], initial_job_idx=start))
            for job in returned[-1]:
                _ = job.return_value  # raises the job's exception
        return returned


def arguments_for_hydra(arguments: Sequence[str], typed: CommandLine) -> list[str]:
    """The arguments in the words of Hydra, for flags such as --cfg: of a grid with options of its parts, the first cell."""
    registry = registered(typed.overrides, typed.config_dir)
    if not any(map(addressed, typed.overrides)):
        return list(arguments)
    found = _with_presets_folder(typed.overrides, registry)
    cell = expand(found, registry)[0] if typed.multirun else single_cell(found, registry, "add -m")
    flags = [text for text in arguments if text not in (*typed.overrides, "-m", "--multirun")]
    return [*flags, *cell]


def launch(typed: CommandLine, cells: Sequence[Cell], sweep: str, job: Callable[[Run, int], object]) -> None:
    """Run a grid through Hydra's launcher: `job` is called once per cell, with the cell's run and number (from 0).

    What dtype=auto means here, it means in every cell, whatever the cell's machine has: the keys of the grid are of that.
    """
    folder = ["--config-dir", str(typed.config_dir.expanduser())] if typed.config_dir else []
    settled = [f"auto_dtype={resolved_dtype('auto')}"] if all(cell.run.auto_dtype is None for cell in cells) else []
    launched = [[*(text for text in cell.overrides if not _is_hydras(text)), *settled] for cell in cells]
    ListedCells.cells = [[*overrides, f"sweep={sweep}"] for overrides in launched]
    # Hydra makes sweepers of its own packages only, so ours takes the place of the basic one while the grid is launched.
    sweepers = Plugins.instance().class_name_to_class
    before = {name: sweepers[name] for name in sweepers if name.endswith(".BasicSweeper")}
    sweepers.update(dict.fromkeys(before, ListedCells))
    try:
        # Hydra composes the settings of the launch from the first cell; the others come from the sweeper.
        hand_over(["-m", *folder, *launched[0], *filter(_is_hydras, typed.overrides)], job)
    finally:
        sweepers.update(before)


def hand_over(arguments: Sequence[str], job: Callable[[Run, int], object] = lambda run, number: None) -> None:
    """Run as a Hydra program with these arguments; `job` is called for each run, with its number (from 0)."""

    def task(config: DictConfig) -> None:
        job(to_run(config), HydraConfig.get().job.num or 0)

    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_MODULE}", config_name=PRIMARY)(task)()


def _is_hydras(text: str) -> bool:
    """Whether an override is for Hydra itself: its launcher, its logging."""
    return re.match(r"[+~]*hydra[./]", text) is not None


# ------------------------------------------------------------------------------- the run that a record describes


def run_of_record(config: Mapping[str, Any], selector: str, trainer: str | None, folders: Sequence[str] = ()) -> Run:
    """The run that a recorded configuration describes, checked by the same schemas as a command line.

    Args:
        config: the record's configuration.
        selector: the name of the selector's plugin.
        trainer: the name of the trainer's plugin, for records whose configuration does not name it.
        folders: the folders of plugins, if they have moved since.

    Raises UserError if the configuration does not fit today's plugins.
    """
    registry = discover(folders or recorded_plugin_path(config))
    register(registry)
    named = {"trainer": trainer, **(config.get("plugins") or {})}
    pool, targets = recorded_pools(config)
    classes = {
        "pool": registry.get("pool", pool).cls,
        "selector": _plugin_class(config["selector"], "selector", selector, registry),
        "trainer": _plugin_class(config["trainer"], "trainer", named["trainer"], registry),
    }
    options = dict(config["selector"])
    if "name" not in _option_names(classes["selector"]):
        options.pop("name", None)  # to_run adds the plugin's name to the recorded options
    parts: dict[str, Any] = {"pool": config["pool"], "selector": options, "trainer": config["trainer"]}
    known = {item.name for item in dataclasses.fields(Config)} - {"sweep"}
    with _explained(registry):
        built = OmegaConf.merge(
            OmegaConf.structured(Config), {name: value for name, value in config.items() if name in known}
        )
        assert isinstance(built, DictConfig)
        for key, cls in classes.items():
            built[key] = OmegaConf.merge(OmegaConf.structured(cls), parts[key])
        for name, chosen in config["suite"].items():
            cls = _plugin_class(chosen, "suite", named.get("suite", {}).get(name, name), registry)
            built.suite[name] = OmegaConf.merge(OmegaConf.structured(cls), chosen)
        for name, chosen in config["target"].items():
            cls = registry.get("pool", targets[name]).cls
            built.target[name] = OmegaConf.merge(OmegaConf.structured(cls), chosen)
        return to_run(built)


def _plugin_class(options: Mapping[str, Any], kind: str, name: str | None, registry: Registry) -> type:
    """The class of the plugin of that name, else of the only plugin whose options include all of these.

    Of several such plugins those with the fewest options are meant. Raises UserError unless one is left.
    """
    if (kind, name) in registry.plugins:
        return registry.plugins[kind, str(name)].cls
    fitting = [plugin for plugin in registry.of_kind(kind) if set(options) <= _option_names(plugin.cls)]
    closest = min((len(_option_names(plugin.cls)) for plugin in fitting), default=0)
    fitting = [plugin for plugin in fitting if len(_option_names(plugin.cls)) == closest]
    if len(fitting) != 1:
        found = ", ".join(plugin.name for plugin in fitting) or "none"
        raise UserError(
            f"which {kind} made it cannot be told from its options ({', '.join(options) or 'none'}); fitting: {found}. "
            f"If it is in a folder of yours, name that: plugin_path=DIR."
        )
    return fitting[0].cls


def _option_names(cls: type) -> set[str]:
    return {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- error messages


@contextmanager
def _explained(registry: Registry | None) -> Iterator[None]:
    """Turns errors of Hydra and OmegaConf into UserErrors."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, registry)) from error


def explain(error: BaseException, registry: Registry | None) -> str:
    """The message of an error of Hydra or OmegaConf, many lines there, as one sentence with the valid choices."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError | NotApplicable):
            return str(cause)
        if isinstance(cause, OmegaConfBaseException):
            return _explain_option(cause, str(error))
        cause = cause.__cause__ or cause.__context__
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if bare := re.match(r"Error parsing override '([^']*)' missing EQUAL", text):
        return f"'{bare[1]}' is not a setting: write key=value, as in selector=random."
    if several := re.match(r"Ambiguous value for argument '(.*?)' 1\. ", text):
        key = several[1].partition("=")[0]
        return f"{several[1]} names several values where one is needed; a list is typed as {key}=[a,b]."
    named = re.search(r"Could not (?:find|load) '([^']+)'", text)
    if registry and named:
        return _explain_choice(named[1], registry)
    return text


def _explain_option(error: OmegaConfBaseException, told: str) -> str:
    key, schema = error.full_key or str(error.key), error.object_type
    first = str(error.msg or error).splitlines()[0]
    if "MissingMandatoryValue" in type(error).__name__:
        return f"{key} is not set: it has no default, write {key}=..."
    if schema is not None and dataclasses.is_dataclass(schema) and "not in" in first:
        group = key.rpartition(".")[0]
        valid = [item.name for item in dataclasses.fields(schema)]
        owner = getattr(schema, "plugin_name", None)
        what = f"option of {getattr(schema, 'plugin_kind', '')} '{owner}':" if owner else "setting:"
        return unknown(what, key, (f"{group}.{name}" if group else name for name in valid))
    return f"{key}: {first}" if key and key not in first else (first or told)


def _explain_choice(asked: str, registry: Registry) -> str:
    group, _, name = asked.rpartition("/")
    if group in ("selector", "trainer", "suite", "pool", "target"):
        for broken in registry.broken:
            if broken.name == name:
                return f"{group} '{name}' is broken: {broken.origin}: {broken.error}"
    return unknown(group or "setting", name, choices(group, registry))
