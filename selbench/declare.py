"""The machinery behind the decorators of `selbench.api`, which make a class a plugin: a dataclass with kind, name and facts.

OmegaConf, which checks the options of a run, does not know `Literal`. At runtime an option `Literal["a", "b"]` is
therefore a `str` with choices, and the choices are checked when the plugin is made; type checkers still see the
`Literal`.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

from selbench.errors import PluginError, UserError, unknown
from selbench.held import Part, amount_word, held_selectors, sees_a_part

# The group of entry points that packages name their plugins in.
GROUP = "selbench.plugins"
# Kind of plugin -> the method that does its work.
WORK = {"selector": "select", "trainer": "train", "suite": "evaluate", "pool": "load"}

LEAKS = ("report", "drop", "refuse")
DUPLICATES = ("no", "exact", "near")
SYSTEM = ("keep", "drop", "into_user")
# Options that every pool has, whoever wrote it: name -> type, default and help.
POOL_FILTERS: Mapping[str, tuple[Any, Any, str]] = {
    "drop_duplicates": (
        Literal[DUPLICATES],
        "no",
        "leave out examples that repeat an earlier one: exact (all parts are equal) or near (docs/leaks.md).",
    ),
    "leaks": (
        Optional[Literal[LEAKS]],  # noqa: UP045 (built at runtime)
        None,
        "what to do about examples that hold test items, for this pool or target alone; null: as the setting leaks= says.",
    ),
    "system": (
        Literal[SYSTEM],
        "keep",
        "what becomes of system prompts, which some chat templates refuse or move: keep, drop, or into_user, which puts each "
        "before the first user turn.",
    ),
}

T = TypeVar("T")


def declare(cls: type[T], kind: str, name: str, facts: Mapping[str, Any]) -> type[T]:
    """Make `cls` a dataclass that says what it is: `plugin_kind`, `plugin_name`, and `facts` as attributes.

    A fact that the class itself sets, or that is a property or method of the class or of a base, is left as it is. Every
    pool has the options of POOL_FILTERS besides its own. Raises PluginError for a pool that has an option of such a name itself.
    """
    if kind == "pool":
        _add_filters(cls, name)
    _replace_literals(cls)
    setattr(cls, "__post_init__", _with_choice_check(getattr(cls, "__post_init__", None)))  # noqa: B010 (mypy)
    for key, value in {"plugin_kind": kind, "plugin_name": name}.items():
        setattr(cls, key, value)
    for key, value in facts.items():
        inherited = inspect.getattr_static(cls, key, None)
        if key not in vars(cls) and not isinstance(inherited, property | types.FunctionType):
            setattr(cls, key, value)
    return dataclasses.dataclass(cls)


def _add_filters(cls: type, name: str) -> None:
    """Give a pool the options of POOL_FILTERS, unless it inherits them."""
    own = dict(inspect.get_annotations(cls))
    for option, (hint, default, text) in POOL_FILTERS.items():
        known = next((fields[option] for base in cls.__mro__[1:] if option in (fields := _fields_of(base))), None)
        if option in own or (known and not known.metadata.get("filter")):
            raise PluginError(
                f"pool '{name}': every pool has an option '{option}' of selbench's; name its own otherwise."
            )
        if known is None:
            own[option] = hint
            setattr(cls, option, dataclasses.field(default=default, metadata={"help": text, "filter": True}))
    cls.__annotations__ = own


def takes_budget(selector: Any) -> bool:
    """Whether the selector is given a budget; one with a share of its own is not."""
    return selector.share is None


def selects_nothing(selector: Any) -> bool:
    """Whether the selector selects no example, so that the base model is evaluated without fine-tuning."""
    return selector.share is not None and selector.share == 0


def name_and_options(plugin: Any, name: str = "", but: Sequence[str] = ()) -> str:
    """The plugin's name with the options that differ from their defaults, e.g. `mads(layers=all)`.

    Two selectors of one name are the same arm exactly if this is the same.

    Args:
        plugin: an instance of a plugin.
        name: the name to show instead of the plugin's.
        but: options that the name shows already.
    """
    changed = [
        f"{item.name}={_option_text(getattr(plugin, item.name), amount_word(item))}"
        for item in dataclasses.fields(plugin)
        if item.name not in but and getattr(plugin, item.name) != _default_value(item)
    ]
    name = name or plugin.plugin_name
    return f"{name}({','.join(changed)})" if changed else name


def _option_text(value: Any, amount: str = "") -> Any:
    if isinstance(value, list) and any(isinstance(each, Part) for each in value):
        return f"[{','.join(str(_option_text(each, amount)) for each in value)}]"
    if isinstance(value, Part):
        number = "" if value.amount is None else f" {amount}={value.amount}"
        return f"{_option_text(value.selector)}{number}"
    return name_and_options(value) if hasattr(value, "plugin_kind") else value


def _default_value(item: dataclasses.Field[Any]) -> Any:
    return item.default_factory() if callable(item.default_factory) else item.default


def features_needed(selector: Any, seed: int) -> Sequence[Any]:
    """The features that the selector will ask for, from its `needs(seed)`, and those of the selectors that it holds.

    `seed` is the seed that the selector's context will have. A `needs()` without a parameter for it works as well.
    """
    inner = [
        spec for held in held_selectors(selector) for spec in features_needed(held, seed if held.stochastic else 0)
    ]
    return [*_own_features(selector, seed), *inner]


def _own_features(selector: Any, seed: int) -> Sequence[Any]:
    needs = getattr(selector, "needs", None)
    if needs is None:
        return []
    try:
        inspect.signature(needs).bind(seed)
    except TypeError:
        return [*needs()]
    return [*needs(seed)]


def _features_of_pool(selector: Any, seed: int) -> list[Any]:
    """As `features_needed`, without what a selector that sees parts of the pool only has computed over those."""
    found = [*_own_features(selector, seed)]
    for held in held_selectors(selector):
        specs = _features_of_pool(held, seed if held.stochastic else 0)
        found += [spec for spec in specs if not sees_a_part(selector, held) or is_per_example(spec)]
    return found


def is_per_example(spec: Any) -> bool:
    """Whether a feature's row depends on its example alone, so that the rows of a part of a pool are those of the whole."""
    return bool(getattr(spec, "per_example", False))


def features_with_inner(selector: Any, seed: int) -> Iterator[Any]:
    """The features over its pool that a selector says it needs, each after those that it is built on and that are kept too."""
    for spec in _features_of_pool(selector, seed):
        yield from inner_features(spec)
        yield spec


def inner_features(spec: Any) -> list[Any]:
    """The features that a feature is built on; without one that looks through no model, which is computed with the outer one."""
    inner = [getattr(spec, item.name) for item in dataclasses.fields(spec)] if dataclasses.is_dataclass(spec) else []
    return [part for part in inner if getattr(part, "needs_scorer", False)]


def drawn_once(selector: Any, pool: Any, target: Mapping[str, Any]) -> tuple[str, ...]:
    """What this selector, or one that it holds, has drawn at random once for all seeds, as its fact `drawn_once` says.

    The fact is a name, several, or a method of the pool and the targets (capability -> pool). Raises PluginError for
    anything else, and for a method that fails.
    """
    fact = selector.drawn_once
    try:
        said = fact(pool, target) if callable(fact) else fact
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        who = f"selector '{selector.plugin_name}'"
        raise PluginError(f"{who}: drawn_once() raised {type(error).__name__}: {error}") from error
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, Sequence) or not all(isinstance(name, str) and name.strip() for name in names):
        raise PluginError(
            f"selector '{selector.plugin_name}': drawn_once must name what all seeds share, as a text or a list of "
            f"texts, not {said!r}."
        )
    inner = [name for held in held_selectors(selector) for name in drawn_once(held, pool, target)]
    return tuple(dict.fromkeys([*names, *inner]))


def help_without_options(cls: type) -> str:
    """The docstring of a plugin without its section `Options:`."""
    return _SECTION.sub("", inspect.getdoc(cls) or "").strip()


def option_help(cls: type) -> dict[str, str]:
    """Option -> its help, from the section `Options:` of the docstring and of those of its bases; empty if there is none."""
    entries: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        entries |= _option_entries(inspect.cleandoc(vars(base).get("__doc__") or ""))
    return {
        item.name: entries.get(item.name) or item.metadata.get("help", "")
        for item in dataclasses.fields(cls)  # type: ignore[arg-type]
    }


# A section ends with the first line that is not indented.
_SECTION = re.compile(r"^Options:[ \t]*\n((?:[ \t]+\S.*(?:\n|\Z)|[ \t]*\n)*)", re.MULTILINE)
# One entry is for one option, or for several: `k, latents: of the training.`
_ENTRY = re.compile(r"^(\w+(?:, \w+)*):[ \t]+(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


def _option_entries(docstring: str) -> dict[str, str]:
    """Option -> help of the section `Options:` of one docstring."""
    section = _SECTION.search(docstring)
    entries = _ENTRY.findall(inspect.cleandoc("\n" + section[1])) if section else []
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


def _with_choice_check(inherited: Callable[..., None] | None) -> Callable[..., None]:
    """A `__post_init__` that checks the choices, and then calls the one that the class has."""

    def __post_init__(self: Any, *given: Any) -> None:
        if getattr(self, "drop_duplicates", None) in (False, "False"):
            self.drop_duplicates = "no"  # what YAML makes of a plain `no`
        _check_choices(self)
        if inherited:
            inherited(self, *given)

    return __post_init__


def _check_choices(self: Any) -> None:
    """Raises UserError for an option whose value is none of its choices."""
    for item in dataclasses.fields(self):
        value = getattr(self, item.name)
        if "choices" in item.metadata and not _is_allowed(item.metadata["literal"], value):
            raise UserError(
                f"option '{item.name}' of '{self.plugin_name}': " + unknown("value", value, item.metadata["choices"])
            )


def _replace_literals(cls: type) -> None:
    """Turn every option with choices, own or inherited, into a field of a plain type with the choices as metadata."""
    own = dict(inspect.get_annotations(cls))
    for name, hint in _literal_options(cls).items():
        own[name] = _without_literals(hint)
        setattr(cls, name, _field_with(cls, name, {"choices": choices_of(hint), "literal": hint}))
    cls.__annotations__ = own


def _literal_options(cls: type) -> dict[str, Any]:
    """Option -> type, of the options with choices that the class or one of its bases annotates.

    Annotations of a base that is no dataclass are not options. Where several classes annotate one option, the most
    derived class counts.
    """
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is cls or "__dataclass_fields__" in vars(base):
            hints = get_type_hints(base)
            for name in inspect.get_annotations(base):
                found[name] = hints[name]
    return {name: hint for name, hint in found.items() if choices_of(hint)}


def _field_with(cls: type, name: str, metadata: Mapping[str, Any]) -> Any:
    """The field as the class or its nearest base defines it, with more metadata."""
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
    """The fields of a dataclass by name; empty for another class."""
    fields: Mapping[str, dataclasses.Field[Any]] = vars(base).get("__dataclass_fields__", {})
    return fields


def choices_of(hint: Any) -> tuple[Any, ...]:
    """The values of every `Literal` in a type, such as `Optional[Literal["a", "b"]]` or `list[Literal["a", "b"]]`."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, types.UnionType, list, dict):
        return tuple(dict.fromkeys(value for part in get_args(hint) for value in choices_of(part)))
    return ()


def _without_literals(hint: Any) -> Any:
    """The same type with every `Literal` replaced by the type of its values."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return Union[tuple(dict.fromkeys(type(value) for value in parts))]  # noqa: UP007 (built at runtime)
    if origin in (Union, types.UnionType):
        return Union[tuple(_without_literals(part) for part in parts)]  # noqa: UP007 (built at runtime)
    return origin[tuple(_without_literals(part) for part in parts)] if origin in (list, dict) else hint


def _is_allowed(hint: Any, value: Any) -> bool:
    """Whether a value fits a type with choices."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:  # Python has True == 1 and False == 0; as choices they differ
        return any(value == part and isinstance(value, bool) == isinstance(part, bool) for part in parts)
    if origin in (Union, types.UnionType):
        return any(_is_allowed(part, value) for part in parts)
    if origin is list:
        return (
            isinstance(value, Sequence) and not isinstance(value, str) and all(_is_allowed(parts[0], v) for v in value)
        )
    if origin is dict:
        return isinstance(value, Mapping) and all(_is_allowed(parts[1], part) for part in value.values())
    return isinstance(value, int | float if hint is float else hint) if isinstance(hint, type) else True
