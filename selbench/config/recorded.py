"""The run that a record describes, checked by the same schemas as a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from selbench.config.composition import to_run
from selbench.config.messages import explained
from selbench.config.schemas import register
from selbench.errors import UserError
from selbench.plugins import Registry, discover, recorded_plugin_path, recorded_pools
from selbench.settings import Config, Run


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
    with explained(registry):
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
