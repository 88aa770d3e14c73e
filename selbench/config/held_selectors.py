"""Options of a selector whose value is a selector itself: `selector.like=mads`, `{name: mads, layers: all}`, or a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from selbench.config.messages import explain
from selbench.errors import UserError, unknown
from selbench.plugins import discover
from selbench.presets import choices


def selector_options(cls: type | None) -> list[str]:
    """The options of a plugin whose value is a selector."""
    fields = dataclasses.fields(cls) if cls is not None and dataclasses.is_dataclass(cls) else ()
    return [item.name for item in fields if item.metadata.get("plugin") == "selector"]


def name_and_rest(value: Any, option: str) -> tuple[str | None, dict[str, Any]]:
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


def with_selectors_in_options(selector: Any, resolved: dict[str, Any], folders: Sequence[str]) -> Any:
    """The selector with each option that names another one replaced by that one; `resolved` gets its name and options, and
    those of the parts (spaces and rules) that the selector is made of.

    Raises UserError for an unknown name or option.
    """
    for option in selector_options(type(selector)):
        name, options = name_and_rest(resolved.get(option), option)
        if name is None:
            continue
        registry = discover(folders, anew=False)
        if ("selector", name) not in registry.plugins:
            raise UserError(unknown(f"selector.{option}", name, choices("selector", registry)))
        try:
            node = OmegaConf.merge(OmegaConf.structured(registry.get("selector", name).cls), options)
        except OmegaConfBaseException as error:
            raise UserError(f"selector.{option}={name}: {explain(error, registry)}") from error
        selector = dataclasses.replace(selector, **{option: OmegaConf.to_object(node)})
        resolved[option] = {"name": name, **OmegaConf.to_container(node)}  # type: ignore[dict-item]
    for item in dataclasses.fields(selector):
        if "part" in item.metadata:  # the selector has made it, and refused what it cannot be
            part = getattr(selector, item.name)
            resolved[item.name] = {"name": part.plugin_name, **dataclasses.asdict(part)}
    return selector


def in_hydras_words(value: Any) -> str:
    """A plain value as an override's, in which a text may hold anything."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{in_hydras_words(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(in_hydras_words, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
