"""Options of a selector whose value is a selector itself, or a list of them: `selector.like=mads`, `selector.steps=[...]`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from selbench.config.messages import explain
from selbench.errors import UserError, unknown
from selbench.held import Part, Written, amount_word, is_list, selector_fields, split_amount, written, written_list
from selbench.plugins import Registry, discover
from selbench.presets import choices

Options = dict[str, Any]
# The plugin of a preset of a selector and its options; None for a name that is no preset.
Preset = Callable[[str], "tuple[str, Options] | None"]


def with_selectors_in_options(selector: Any, resolved: Options, folders: Sequence[str]) -> Any:
    """The selector with each name of another one in its options replaced by that one; `resolved` gets names and options.

    Raises UserError for an unknown name or option.
    """
    if selector_fields(type(selector)):
        selector = _with_selectors(selector, resolved, discover(folders, anew=False))
    _note_parts(selector, resolved)
    return selector


def _note_parts(selector: Any, resolved: Options) -> None:
    """Put name and options of the spaces and rules that a selector is made of into `resolved`."""
    for item in dataclasses.fields(selector):
        if "part" in item.metadata:  # the selector has made it, and refused what it cannot be
            part = getattr(selector, item.name)
            resolved[item.name] = {"name": part.plugin_name, **dataclasses.asdict(part)}


def _with_selectors(selector: Any, resolved: Options, registry: Registry) -> Any:
    for item in selector_fields(type(selector)):
        value, word = resolved.get(item.name), amount_word(item)
        if is_list(item):
            parts, plain = [], []
            for where, found in written_list(value, item):
                found = split_amount(found, _class_of(found.name, where, registry), word, where)
                held, options = _built(found, where, registry)
                parts.append(Part(held, found.amount))
                plain.append({held.plugin_name: options, **({} if found.amount is None else {word: found.amount})})
            selector = dataclasses.replace(selector, **{item.name: parts})
            resolved[item.name] = plain
        elif value is not None:
            found = written(value, f"selector.{item.name}")
            held, options = _built(found, f"selector.{item.name}", registry)
            selector = dataclasses.replace(selector, **{item.name: held})
            resolved[item.name] = {"name": held.plugin_name, **options}
    return selector


def _class_of(name: str, where: str, registry: Registry) -> type:
    if ("selector", name) not in registry.plugins:
        raise UserError(unknown(where, name, choices("selector", registry)))
    return registry.get("selector", name).cls


def _built(found: Written, where: str, registry: Registry) -> tuple[Any, Options]:
    """A selector with these options, those that it holds built too; and its options as plain values."""
    cls = _class_of(found.name, where, registry)
    try:
        node = OmegaConf.merge(OmegaConf.structured(cls), found.options)
    except OmegaConfBaseException as error:
        raise UserError(f"{where}={found.name}: {explain(error, registry)}") from error
    plain: Any = OmegaConf.to_container(node)
    return _with_selectors(OmegaConf.to_object(node), plain, registry), plain


def without_presets(cls: type | None, options: Mapping[str, Any], registry: Registry, preset: Preset) -> Options:
    """The options of a selector whose selectors are named by presets, at any depth, with plugins and options instead.

    Options without a preset in them are left out. Raises UserError for a value that is no selector.
    """
    changed: Options = {}
    for item in selector_fields(cls):
        value = options.get(item.name)
        if is_list(item) and isinstance(value, list | tuple):
            word = amount_word(item)
            each = written_list(value, item)
            now: Any = [_without_presets(raw, *one, word, registry, preset) for raw, one in zip(value, each)]
        elif value is not None and not is_list(item):
            where = f"selector.{item.name}"
            now = _without_presets(value, where, written(value, where), "", registry, preset)
        else:  # no list where one is due: that is said where the selector is built
            continue
        if now != value:
            changed[item.name] = now
    return changed


def _without_presets(raw: Any, where: str, found: Written, amount: str, registry: Registry, preset: Preset) -> Any:
    """The value of an option as it is, or written anew where it names a preset or holds one."""
    known = ("selector", found.name) in registry.plugins
    filled = None if known else preset(found.name)
    if not known and filled is None:
        return raw
    name, under = (found.name, {}) if filled is None else filled
    cls = registry.get("selector", name).cls
    found = split_amount(found, cls, amount, where)
    options = {**under, **found.options}
    inner = without_presets(cls, options, registry, preset)
    if filled is None and not inner:
        return raw
    options |= inner
    if not amount:
        return {"name": name, **options}
    return {name: options, **({} if found.amount is None else {amount: found.amount})}


def in_hydras_words(value: Any) -> str:
    """A plain value as an override's, in which a text may hold anything."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{in_hydras_words(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(in_hydras_words, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
