"""Files that the options of the trainer `command` name, or that it writes: by ending YAML, JSON or text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selbench_plugins.trainers._placeholders import with_texts

from selbench.api import UserError
from selbench.hashing import file_hash


def config_of_file(named: str) -> dict[str, Any]:
    """The mapping in a YAML or JSON file. Raises UserError if it is not there or holds anything else."""
    import yaml

    path = Path(named).expanduser()
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))  # of which JSON is a part
    except OSError as error:
        raise UserError(f"trainer.config_file={named} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"trainer.config_file={named} is neither YAML nor JSON: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(found, dict):
        raise UserError(f"trainer.config_file={named} holds {type(found).__name__}, not a mapping of names to values.")
    return found


def write_text_file(path: Path, content: Any) -> None:
    """Write a text as it is, anything else as JSON if the path ends in .json, and as YAML otherwise."""
    import yaml

    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, str):
        content = (
            json.dumps(content, indent=2, ensure_ascii=False)
            if path.suffix == ".json"
            else yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        )
    path.write_text(content, encoding="utf-8")


def with_file_content(template: Any) -> Any:
    """The template with the hash of the content in place of each text that names a file: `train.py`, `--config=ds.json`.

    A binary program counts by its name, for its version is another matter.
    """

    def change(text: str) -> Any:
        option, _, value = text.rpartition("=")
        for before, named in (("", text), (option, value)):
            path = Path(named).expanduser()
            if named and _is_text_file(path):
                return {"option": before, "file": file_hash(path)}
        return text

    return with_texts(template, change)


def content_of(path: Path, setting: str) -> Any:
    """A hash of a file, or name -> hash of the files of a folder, hidden ones and bytecode left out.

    Raises UserError, naming the setting, if there is no such file or folder.
    """
    if path.is_file():
        return file_hash(path)
    if not path.is_dir():
        raise UserError(f"{setting}: there is no file or folder {path}.")
    found: Mapping[str, str] = {
        str(inside.relative_to(path)): file_hash(inside)
        for inside in sorted(path.rglob("*"))
        if inside.is_file()
        and not any(part.startswith((".", "__pycache__")) for part in inside.relative_to(path).parts)
    }
    return found


def _is_text_file(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return b"\0" not in file.read(1024)
    except (OSError, ValueError):  # a name that no file can have
        return False
