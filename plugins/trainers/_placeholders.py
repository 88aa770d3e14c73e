"""Templates with placeholders such as `{data}`: which names they use, and what they are once the values are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# `{name}` is a placeholder, `{{name}}` stands for the text `{name}`. Other braces, as of JSON, mean themselves.
PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}")


def names_in(template: Any) -> set[str]:
    """The names of the placeholders in a text, or in the values of lists and mappings at any depth."""
    return {found[2] for text in texts_in(template) for found in PLACEHOLDER.finditer(text) if found[2]}


def texts_in(template: Any) -> Iterator[str]:
    """The texts among values, at any depth of lists and mappings."""
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping | list | tuple):
        for part in template.values() if isinstance(template, Mapping) else template:
            yield from texts_in(part)


def with_texts(template: Any, change: Callable[[str], Any]) -> Any:
    """The template with each of its texts replaced by what `change` makes of it; as plain lists and dicts."""
    if isinstance(template, str):
        return change(template)
    if isinstance(template, Mapping):
        return {key: with_texts(value, change) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [with_texts(value, change) for value in template]
    return template


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders replaced.

    A text that is one placeholder becomes the value itself, so that numbers stay numbers; a text that names a value that is
    None becomes None.
    """

    def fill(text: str) -> Any:
        found = PLACEHOLDER.fullmatch(text)
        if found and found[2]:
            return values[found[2]]
        if any(values[name] is None for name in names_in(text)):
            return None
        return PLACEHOLDER.sub(lambda part: _as_text(values[part[2]]) if part[2] else f"{{{part[1]}}}", text)

    return with_texts(template, fill)


def filled_words(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The words of a command, each one text however many blanks its values have. A word that names None is left out."""
    return [_as_text(word) for word in filled(list(words), values) if word is not None]


def unquoted_placeholders(template: Any, names: Sequence[str], place: str = "") -> Iterator[tuple[str, str]]:
    """(place, name) of each `key: {name}` without quotes, which YAML reads as a mapping of `name` to nothing."""
    if isinstance(template, Mapping):
        for key, value in template.items():
            where = f"{place}.{key}" if place else str(key)
            if (
                isinstance(value, Mapping)
                and len(value) == 1
                and next(iter(value.items())) in [(n, None) for n in names]
            ):
                yield where, str(next(iter(value)))
            else:
                yield from unquoted_placeholders(value, names, where)
    elif isinstance(template, list | tuple):
        for number, value in enumerate(template):
            yield from unquoted_placeholders(value, names, f"{place}[{number}]")


def _as_text(value: Any) -> str:
    """A value in a command line: 3.0 as `3`, because many tools read a whole number there."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
