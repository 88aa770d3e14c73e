"""What the trainer `command` refuses before anything is spent."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

from selbench_plugins.trainers._placeholders import PLACEHOLDER, names_in, unquoted_placeholders
from selbench_plugins.trainers._tool_process import SECRET

from selbench.api import UserError
from selbench.errors import unknown

PLACEHOLDERS = (
    "accumulation",
    "batch_size",
    "config",
    "data",
    "data_folder",
    "devices",
    "epochs",
    "examples",
    "learning_rate",
    "max_length",
    "micro_batch_size",
    "model",
    "output",
    "python",
    "resume",
    "seed",
)
# Keys of a tool's config whose values are secrets. Others end in "token" too: pad_token.
SECRET_KEY = re.compile(r"(?i)(^(password|secret)|(hub|hf|auth)_token|api_key)$")
# Options that do something only where a template names one of these placeholders.
USED_BY = {
    "epochs": ("epochs",),
    "learning_rate": ("learning_rate",),
    "batch_size": ("batch_size", "accumulation"),
    "micro_batch_size": ("micro_batch_size", "accumulation"),
    "devices": ("devices", "accumulation"),
    "max_length": ("max_length",),
}
# A training without them would not be of these examples, not be found, be of another model, or be one for all seeds.
NEEDED = {
    ("data", "data_folder"): "the selected examples would not be read",
    ("model",): "it would not know what to fine-tune",
    ("output",): "its model would not be found",
    ("seed",): "every seed would give one training, and their spread would be a false one",
}


def check_templates(options: Any, words: Sequence[str], config: Mapping[str, Any]) -> None:
    """Raises UserError for options of the trainer `command` that cannot work; `config` has the content of its file."""
    if not words:
        raise UserError(
            "trainer 'command' has no command: set trainer.command, or use a preset (llama_factory, axolotl, torchrun)."
        )
    known = (*PLACEHOLDERS, *map(str, options.values))
    templates = {"command": list(words), "config": config, "files": options.files, "env": options.env}
    for setting, template in templates.items():
        _require_known(setting, template, known)
    named = names_in(list(templates.values()))
    for names, consequence in NEEDED.items():
        if not named.intersection(names):
            raise UserError(
                f"trainer 'command': neither the command nor its config, files or environment names "
                f"{' or '.join(f'{{{name}}}' for name in names)}: {consequence}."
            )
    if config and "config" not in names_in([list(words), options.env]):
        raise UserError(
            "trainer.config would not be read: the command does not name {config}, the file that it is written to."
        )
    if "config" in named and not config:
        raise UserError("the command names {config}, but trainer.config and trainer.config_file are empty.")
    _require_used(options, named)
    _require_accumulation(options, named)
    _require_plain_names(options)
    _require_no_secrets(options, config)
    _require_program(words, options)


def _require_known(setting: str, template: Any, known: Sequence[str]) -> None:
    for name in sorted(names_in(template) - set(known)):
        raise UserError(
            f"trainer.{setting}: " + unknown("placeholder", name, known) + f" Text in braces is written {{{{{name}}}}}."
        )
    for where, name in unquoted_placeholders(template, known):
        raise UserError(
            f"trainer.{setting}.{where}: YAML reads {{{name}}} as a mapping; write it in quotes, '{{{name}}}'."
        )


def _require_used(options: Any, named: set[str]) -> None:
    defaults = {item.name: item.default for item in fields(options)}
    for option, names in USED_BY.items():
        if getattr(options, option) != defaults[option] and not named.intersection(names):
            raise UserError(
                f"trainer.{option}={getattr(options, option)} has no effect: no template names "
                f"{' or '.join(f'{{{name}}}' for name in names)}."
            )
    for name in options.values:
        if name in PLACEHOLDERS:
            raise UserError(
                f"trainer.values.{name}: {{{name}}} is a placeholder with a meaning of its own; use another name."
            )
        if name not in named:
            raise UserError(f"trainer.values.{name} has no effect: no template names {{{name}}}.")


def _require_accumulation(options: Any, named: set[str]) -> None:
    together = options.micro_batch_size * options.devices
    if "accumulation" in named and options.batch_size % together:
        raise UserError(
            f"trainer.batch_size={options.batch_size} is not a multiple of trainer.micro_batch_size="
            f"{options.micro_batch_size} times trainer.devices={options.devices}, so no number of passes makes such a batch."
        )


def _require_plain_names(options: Any) -> None:
    for setting, name in [("config_name", options.config_name), *(("files", name) for name in options.files)]:
        if PurePath(name).name != name or name in (".", "..", "selection.jsonl"):
            raise UserError(f"trainer.{setting}: '{name}' is not the name of a further file.")


def _require_no_secrets(options: Any, config: Mapping[str, Any]) -> None:
    """Options are recorded and mirrored; the program inherits the environment, where secrets belong."""
    for name, value in options.env.items():
        if SECRET.search(name) and value and not names_in(value):
            raise UserError(
                f"trainer.env.{name} looks like a secret, and options are recorded: set it in the environment that selbench "
                "is started in, which the program inherits."
            )
    for key, value in _entries(config):
        if SECRET_KEY.search(key) and isinstance(value, str) and value and not names_in(value):
            raise UserError(
                f"trainer.config.{key} looks like a secret, and options are recorded: set it in the environment that "
                "selbench is started in, which the program inherits."
            )


def _entries(config: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield str(key), value
            yield from _entries(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _entries(value)


def _require_program(words: Sequence[str], options: Any) -> None:
    """Raises UserError if the program, or a script among its arguments, is not there."""
    known = {**options.values, "python": sys.executable}
    plain = [_settled(word, known) for word in words]
    path = options.env.get("PATH") or os.environ.get("PATH")
    if shutil.which(plain[0], path=path) is None:
        where = "is not a program that can be run" if os.path.dirname(plain[0]) else "is not on PATH"
        raise UserError(f"trainer.command: {plain[0]} {where}; install it, or name it with its folder.")
    for word in plain[1:]:
        script = word.endswith((".py", ".sh")) and not word.startswith("-") and not names_in(word)
        if script and not Path(word).is_file():
            raise UserError(f"trainer.command: there is no file {word} (seen from {os.getcwd()}).")


def _settled(word: str, known: Mapping[str, Any]) -> str:
    """A word that is one placeholder whose value is known already. Raises UserError if that value is None."""
    found = PLACEHOLDER.fullmatch(word)
    if not found or found[2] not in known:
        return word
    if known[found[2]] is None:
        raise UserError(f"trainer.values.{found[2]} is not set, and the command needs it.")
    return os.path.expanduser(str(known[found[2]]))
