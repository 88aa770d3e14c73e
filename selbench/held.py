"""Selectors that a selector holds in its options: one, as `like` of `random`, or several, as the `steps` of `chain`.

An option that is one selector is a field with the metadata {"plugin": "selector"}. One that is a list of them has
{"plugin": "selectors"}, and {"amount": "keep"} besides where a number stands with each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selbench.errors import UserError


@dataclass
class Part:
    """One of several selectors that an option holds, and the number that stands with it, such as the `keep` of a step."""

    selector: Any
    amount: float | int | None = None


@dataclass(frozen=True)
class Written:
    """A selector as it is written in an option: `mads`, `{mads: {layers: all}, keep: 0.4}`, `{name: mads, layers: all}`."""

    name: str
    options: dict[str, Any]
    amount: Any = None  # what stands beside name and options; among the options it may stand too


def selector_fields(cls: type | None) -> list[dataclasses.Field[Any]]:
    """The options of a plugin whose value is a selector, or a list of them."""
    fields = dataclasses.fields(cls) if cls is not None and dataclasses.is_dataclass(cls) else ()
    return [item for item in fields if item.metadata.get("plugin") in ("selector", "selectors")]


def is_list(item: dataclasses.Field[Any]) -> bool:
    """Whether an option of `selector_fields` is a list."""
    return bool(item.metadata["plugin"] == "selectors")


def amount_word(item: dataclasses.Field[Any]) -> str:
    """What the number beside a part is called; empty where there is none."""
    return str(item.metadata.get("amount", ""))


def held_parts(plugin: Any) -> list[Part]:
    """The selectors that are values of a plugin's options, in their order, with the numbers that stand with them."""
    if not dataclasses.is_dataclass(plugin):
        return []
    values = [getattr(plugin, item.name) for item in dataclasses.fields(plugin)]
    each = [part for value in values for part in (value if isinstance(value, list | tuple) else [value])]
    parts = [part if isinstance(part, Part) else Part(part) for part in each]
    return [part for part in parts if getattr(part.selector, "plugin_kind", None) == "selector"]


def held_selectors(plugin: Any) -> list[Any]:
    """The selectors that are values of a plugin's options."""
    return [part.selector for part in held_parts(plugin)]


def with_held(selector: Any) -> list[Any]:
    """The selector, and all that it holds at any depth."""
    return [selector, *(inner for held in held_selectors(selector) for inner in with_held(held))]


def inner_selections(selector: Any, budget: Any) -> list[tuple[Any, Any]]:
    """The other selectors whose selections from its whole pool a selector asks for, each with the budget.

    As its method `inner_selections(budget)` says; of a selector without one, all that it holds, with the budget itself.
    """
    if hasattr(selector, "inner_selections"):
        return [*selector.inner_selections(budget)]
    return [(held, budget) for held in held_selectors(selector)]


def sees_a_part(selector: Any, held: Any) -> bool:
    """Whether a selector shows one that it holds parts of its pool only, as its `selectors_on_parts` says."""
    return any(held is other for other in getattr(selector, "selectors_on_parts", ()))


def written_list(value: Any, item: dataclasses.Field[Any]) -> list[tuple[str, Written]]:
    """(where it stands, the selector) for each element of an option that is a list. Raises UserError for what is none."""
    where = f"selector.{item.name}"
    if not isinstance(value, list | tuple):
        raise UserError(f"{where} is a list of selectors, as {where}=[longest,random]; not {value}.")
    word = amount_word(item)
    return [(f"{where}, number {n}", written(each, f"{where}, number {n},", word)) for n, each in enumerate(value, 1)]


def written(value: Any, where: str, amount: str = "") -> Written:
    """A selector that is the value of an option; `amount` is what the number beside it is called.

    Raises UserError, which begins with `where`, for a value that is none.
    """
    if isinstance(value, str) and value:
        return Written(value, {})
    if isinstance(value, Mapping):
        beside = dict(value)
        if isinstance(name := beside.pop("name", None), str):
            return Written(name, beside)
        number = beside.pop(amount, None) if len(beside) > 1 else None
        options = next(iter(beside.values()), None)
        if len(beside) == 1 and (options is None or isinstance(options, Mapping)) and name is None:
            return Written(str(next(iter(beside))), dict(options or {}), number)
    beside_it = f", and {amount}, as {{longest: {{}}, {amount}: 0.4}}" if amount else ""
    raise UserError(
        f"{where} is a selector: its name, or with options {{name: mads, layers: all}} or {{mads: {{layers: all}}}}{beside_it}; "
        f"not {value}."
    )


def split_amount(found: Written, cls: type, amount: str, where: str) -> Written:
    """The same with its number taken out of its options, where the plugin has no option of that name itself.

    Raises UserError for a number that stands in both places, and for what is no number.
    """
    own = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    options, number = dict(found.options), found.amount
    if amount and amount in options and amount not in own:
        inside = options.pop(amount)
        if number is not None:
            raise UserError(f"{where} says {amount} twice: {number} and {inside}.")
        number = inside
    if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
        raise UserError(f"{where}: {amount}={number} is neither a share (0.4) nor a number (500).")
    return Written(found.name, options, number)


def as_written(plugin: Any) -> dict[str, Any]:
    """The options of a plugin as plain values; the selectors, spaces and rules among them with their names, as they are
    written."""
    options = dataclasses.asdict(plugin)
    for option, value in options.items():
        held = getattr(plugin, option)
        if hasattr(held, "plugin_kind"):  # a space or rule, which holds no other; selectors follow
            options[option] = {"name": held.plugin_name, **value}
    for item in selector_fields(type(plugin)):
        value = getattr(plugin, item.name)
        if hasattr(value, "plugin_kind"):
            options[item.name] = {"name": value.plugin_name, **as_written(value)}
        elif is_list(item):
            options[item.name] = [_part_as_written(part, amount_word(item)) for part in value]
    return options


def _part_as_written(part: Any, amount: str) -> Any:
    if not isinstance(part, Part):
        return part
    about = {part.selector.plugin_name: as_written(part.selector)}
    return about if part.amount is None else {**about, amount: part.amount}
