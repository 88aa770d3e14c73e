"""Finds the mistakes of task files that show in the files themselves: no items, a wrong split, a wrong column.

lm-eval is not imported, so that `selbench plan` and the check before a grid take no seconds for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selbench.data import files
from selbench.errors import UserError

TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_choice")


def check_task(config: Mapping[str, Any], name: str, path: Path, sources: Mapping[str, Sequence[Path]]) -> None:
    """Raises UserError for a task whose local data has no items or lacks a column that the task names.

    Args:
        config: the content of the task file, with what it includes.
        name: of the task.
        path: of the task file.
        sources: split -> its local files; nothing is checked without any.
    """
    if not sources:
        return
    split = config.get("test_split") or config.get("validation_split")
    if split is None:
        raise UserError(f"task '{name}' ({path}) names no test_split: write one of {', '.join(sources)}.")
    if split not in sources:
        raise UserError(
            f"task '{name}' ({path}): its split '{split}' is not among its data_files: {', '.join(sources)}."
        )
    row = next((row for file in sources[split] for _, row in files.read_rows(file)), None)
    if row is None:
        named = ", ".join(map(str, sources[split]))
        raise UserError(f"task '{name}' ({path}) has no items: {named} has no rows.")
    if isinstance(row, Mapping) and "process_docs" not in config:  # which may make columns of its own
        _check_columns(config, name, path, [str(column) for column in row])


def _check_columns(config: Mapping[str, Any], name: str, path: Path, columns: Sequence[str]) -> None:
    for key in TEMPLATES:
        value = config.get(key)
        for template in value if isinstance(value, list) else [value]:
            if not isinstance(template, str) or template in columns:
                continue
            for wrong in _missing_columns(template, columns):
                near = difflib.get_close_matches(wrong, columns, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise UserError(
                    f"task '{name}' ({path}): {key} names the column '{wrong}', which its data does not have.{hint} "
                    f"Columns: {', '.join(sorted(columns))}."
                )


def _missing_columns(template: str, columns: Sequence[str]) -> list[str]:
    """The names in a template that are no columns. A bare word that is nearly a column is taken for one."""
    import jinja2
    import jinja2.meta

    if template.isidentifier():
        return [template] if difflib.get_close_matches(template, columns, n=1, cutoff=0.75) else []
    if "defined" in template or "default" in template:  # it provides for missing columns
        return []
    try:
        used = jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(template))
    except jinja2.TemplateError:
        return []  # lm-eval says what is wrong with the template
    return sorted(used - {*columns, "range", "dict", "lipsum", "cycler", "joiner", "namespace"})


def read_task(path: Path) -> dict[str, Any]:
    """The content of a task file and of what it includes, its functions left unread. Empty if it cannot be read."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
        """Reads `!function module.name` as nothing."""

    Loader.add_multi_constructor("!", lambda loader, tag, node: None)
    try:
        found = yaml.load(path.read_text(), Loader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return {}  # `load_tasks` says what is wrong with it
    if not isinstance(found, dict):
        return {}
    included = found.pop("include", None) or []
    parts = [read_task(path.parent / str(part)) for part in ([included] if isinstance(included, str) else included)]
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    return merged | found
