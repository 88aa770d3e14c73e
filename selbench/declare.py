"""What a plugin is: a dataclass with a kind, a name and facts. The machinery behind the decorators of `selbench.api`.

OmegaConf, which checks the options of a run, knows no `Literal`. At runtime an option `Literal["a", "b"]` is therefore a
`str` with choices, which are checked when the plugin is made; type checkers still see the `Literal`.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from selbench.errors import UserError, unknown

# The method that does the work of each kind.
WORK = {"selector": "select", "trainer": "train", "suite": "evaluate", "pool": "load"}

T = TypeVar("T")


def declare(cls: type[T], kind: str, name: str, facts: Mapping[str, Any]) -> type[T]:
    """Make `cls` a dataclass that says what it is: `plugin_kind`, `plugin_name`, and `facts` as attributes.

    A fact that depends on the options may be a property of the class or of a base: then that stands.
    """
    _spell_out_literals(cls)
    setattr(cls, "__post_init__", _checking(getattr(cls, "__post_init__", None)))  # noqa: B010 (mypy)
    for key, value in {"plugin_kind": kind, "plugin_name": name}.items():
        setattr(cls, key, value)
    for key, value in facts.items():
        if key not in vars(cls) and not isinstance(inspect.getattr_static(cls, key, None), property):
            setattr(cls, key, value)
    return dataclasses.dataclass(cls)


def takes_budget(selector: Any) -> bool:
    """Whether the selector is given a budget: one with a share of its own is not."""
    return selector.share is None


def selects_nothing(selector: Any) -> bool:
    """Whether the selector leaves the pool alone, so that nothing is fine-tuned: the base model as it is."""
    return selector.share is not None and selector.share == 0


def features_needed(selector: Any, seed: int) -> Sequence[Any]:
    """What the selector's `needs(seed)` gives, the features that it will ask for; empty where it does not say.

    `seed` is the one that the selector's context will have. A `needs()` without a seed is as good.
    """
    needs = getattr(selector, "needs", None)
    if needs is None:
        return []
    try:
        inspect.signature(needs).bind(seed)
    except TypeError:
        return list(needs())
    return list(needs(seed))


def summary(cls: type) -> str:
    """The docstring without its section of options."""
    return _SECTION.sub("", inspect.getdoc(cls) or "").strip()


def option_help(cls: type) -> dict[str, str]:
    """Option -> help, from the section `Options:` of the docstring and of those of the bases; empty where none tells."""
    told: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        told |= _told(inspect.cleandoc(vars(base).get("__doc__") or ""))
    return {item.name: told.get(item.name, "") for item in dataclasses.fields(cls)}


# A section ends with the first line that is not indented.
_SECTION = re.compile(r"^Options:[ \t]*\n((?:[ \t]+\S.*(?:\n|\Z)|[ \t]*\n)*)", re.MULTILINE)
# One entry is for one option, or for several: `k, latents: of the training.`
_ENTRY = re.compile(r"^(\w+(?:, \w+)*):[ \t]+(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


def _told(docstring: str) -> dict[str, str]:
    section = _SECTION.search(docstring)
    entries = _ENTRY.findall(inspect.cleandoc("\n" + section[1])) if section else []
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def _checking(inherited: Callable[..., None] | None) -> Callable[..., None]:
    """A `__post_init__` that checks the choices before the class's own."""

    def __post_init__(self: Any, *given: Any) -> None:
        _check_choices(self)
        if inherited:
            inherited(self, *given)

    return __post_init__


def _check_choices(self: Any) -> None:
    for item in dataclasses.fields(self):
        value = getattr(self, item.name)
        if "choices" in item.metadata and not _allows(item.metadata["literal"], value):
            raise UserError(
                f"option '{item.name}' of '{self.plugin_name}': " + unknown("value", value, item.metadata["choices"])
            )


def _spell_out_literals(cls: type) -> None:
    """Every option with choices, own or inherited, becomes a field of a plain type that remembers them."""
    own = dict(inspect.get_annotations(cls))
    for name, hint in _literal_options(cls).items():
        own[name] = _plain(hint)
        setattr(cls, name, _field_with(cls, name, {"choices": choices_of(hint), "literal": hint}))
    cls.__annotations__ = own


def _literal_options(cls: type) -> dict[str, Any]:
    """Option -> type, of those with choices whose type the class itself says, or a base that is no plugin yet.

    Only a dataclass has options: what a plain mixin annotates is none. The last word on an option counts.
    """
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is cls or "__dataclass_fields__" in vars(base):
            hints = get_type_hints(base)
            for name in inspect.get_annotations(base):
                found[name] = hints[name]
    return {name: hint for name, hint in found.items() if choices_of(hint)}


def _field_with(cls: type, name: str, metadata: Mapping[str, Any]) -> Any:
    """The field as it stands in the class or its bases, with more metadata."""
    stated = vars(cls).get(name, dataclasses.MISSING)
    if name not in inspect.get_annotations(cls):
        stated = next(fields[name] for base in cls.__mro__[1:] if name in (fields := _fields_of(base)))
    if not isinstance(stated, dataclasses.Field):
        return dataclasses.field(default=stated, metadata=metadata)
    return dataclasses.field(
        default=stated.default,
        default_factory=stated.default_factory,
        init=stated.init,
        repr=stated.repr,
        hash=stated.hash,
        compare=stated.compare,
        metadata={**stated.metadata, **metadata},
        kw_only=stated.kw_only,
    )


def _fields_of(base: type) -> Mapping[str, dataclasses.Field[Any]]:
    fields: Mapping[str, dataclasses.Field[Any]] = vars(base).get("__dataclass_fields__", {})
    return fields


def choices_of(hint: Any) -> tuple[Any, ...]:
    """The values of every `Literal` in a type, such as `Optional[Literal["a", "b"]]` or `list[Literal["a", "b"]]`."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, types.UnionType, list, dict):
        return tuple(dict.fromkeys(value for part in get_args(hint) for value in choices_of(part)))
    return ()


def _plain(hint: Any) -> Any:
    """The same type with every `Literal` as the type of its values."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return Union[tuple(dict.fromkeys(type(value) for value in parts))]  # noqa: UP007 (built at runtime)
    if origin in (Union, types.UnionType):
        return Union[tuple(_plain(part) for part in parts)]  # noqa: UP007 (built at runtime)
    return origin[tuple(_plain(part) for part in parts)] if origin in (list, dict) else hint


def _allows(hint: Any, value: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:  # True is no 1 and False no 0
        return any(value == part and isinstance(value, bool) == isinstance(part, bool) for part in parts)
    if origin in (Union, types.UnionType):
        return any(_allows(part, value) for part in parts)
    if origin is list:
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_allows(parts[0], v) for v in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(_allows(parts[1], part) for part in value.values())
    return isinstance(value, int | float if hint is float else hint) if isinstance(hint, type) else True
