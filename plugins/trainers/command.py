"""Fine-tuning by a program of somebody else's."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Optional

from selbench_plugins.trainers import _example_tool
from selbench_plugins.trainers._command_check import PLACEHOLDERS, check_templates
from selbench_plugins.trainers._command_files import config_of_file, content_of, with_file_content, write_text_file
from selbench_plugins.trainers._found_model import found_folder, kept_model, newest, require_loads
from selbench_plugins.trainers._placeholders import filled, filled_words, names_in
from selbench_plugins.trainers._tool_process import ToolProcess, first_output

from selbench.api import Context, Example, ModelRef, Pool, UserError, trainer
from selbench.data.commits import at_commit
from selbench.data.export import export
from selbench.models import local_folder, training_context

LOG = "tool.log"
VERSION_S = 300.0  # how long the program may take to say its version
WEIGHT_COPIES = ["*.gguf", "*.onnx", "*.msgpack", "*.h5", "original/*"]


@trainer("command")
class Command:
    """Fine-tuning by another program, as LLaMA-Factory, axolotl or a script of yours under torchrun.

    The selected examples are written to a file, the program is run, and the model that it leaves is looked for, loaded and
    compared with its base. Texts of `command`, `config`, `files` and `env` may hold placeholders: {data}, the file of the
    examples, and {data_folder}; {config}, the file that is made of `config`; {model}, the folder of the model to fine-tune;
    {output}, an empty folder for the result; {seed}; {epochs}, {learning_rate}, {batch_size}, {micro_batch_size}, {devices},
    {accumulation} (batch_size / micro_batch_size / devices), {max_length}, {examples} (their number); {python}, which runs
    selbench; {resume}, the checkpoint to go on from; and the names of `values`. A page says more: docs/trainers.md.

    Options:
        command: the program and its arguments, as a list of words or as one line (quotes as in a shell, which is not used).
        config: what {config} holds, as YAML, or as JSON if config_name ends in .json.
        config_file: a YAML or JSON file to begin with; `config` is laid over it.
        config_name: the name of the file at {config}.
        files: further files to be written beside {data}: name -> content, a text, or a mapping for YAML or JSON.
        values: further placeholders: name -> value.
        data: the form of {data}, in JSON Lines: alpaca, sharegpt, or messages (roles and contents).
        env: environment variables, besides those that selbench has itself. They are recorded: no place for secrets.
        checkpoint: where the model is, as a pattern under {output}, of which the newest match counts; empty: {output} itself
            or, if no model is there, the newest folder in it that holds one.
        result: what the model has to be: full, adapter (LoRA), or auto for either.
        resume: which checkpoint {resume} stands for, as a pattern under {output}, of which the newest match counts.
        timeout: seconds until the program is ended; null: it may take as long as it likes.
        version_command: prints the program's version, which becomes part of the key.
        code: files and folders whose content becomes part of the key, besides files that `command` and `config` name.
        epochs: {epochs}: passes over the selected examples.
        learning_rate: {learning_rate}.
        batch_size: {batch_size}: examples per optimizer step, over all devices.
        micro_batch_size: {micro_batch_size}: examples per device and forward pass.
        devices: {devices}: how many processes train.
        max_length: the longest example, in tokens, where it is to be lower than the model's max_length; {max_length} is the
            lower of the two, and the program has to keep to it.
    """

    command: Any = ""
    config: dict[str, Any] = field(default_factory=dict)
    config_file: Optional[str] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)
    config_name: str = "config.yaml"
    files: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    data: Literal["alpaca", "sharegpt", "messages"] = "messages"
    env: dict[str, str] = field(default_factory=dict)
    checkpoint: str = ""
    result: Literal["auto", "full", "adapter"] = "auto"
    resume: str = "checkpoint-*"
    timeout: Optional[float] = None  # noqa: UP045
    version_command: Any = ""
    code: list[str] = field(default_factory=list)
    epochs: float = 3.0
    learning_rate: float = 2e-5
    batch_size: int = 32
    micro_batch_size: int = 8
    devices: int = 1
    max_length: Optional[int] = None  # noqa: UP045

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate", "batch_size", "micro_batch_size", "devices", "timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"trainer.{name}={value} must be above 0.")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: a plain loop over PyTorch and transformers."""
        options = ("data", "model", "output", "seed", "epochs", "learning_rate", "batch_size", "max_length")
        words = ["{python}", _example_tool.__file__, *(f"--{name}={{{name}}}" for name in options)]
        return {"command": words, "learning_rate": 1e-3, "batch_size": 4}

    def check(self, model: ModelRef) -> None:
        """Raises UserError for what cannot work: unknown or missing placeholders, a program or a file that is not there, an
        option that no template names, a secret among the options, a model with an adapter."""
        check_templates(self, self._words, self._whole_config())
        if model.adapter:
            raise UserError(
                f"trainer 'command': model '{model.name}' has an adapter ({model.adapter}), which another program would not "
                "load with its base: merge it into the model first."
            )

    def identity(self) -> dict[str, Any]:
        """The options that can change the model, with the content of the files that they name, and the program's version."""
        apart = ("command", "config", "config_file", "files", "values", "code", "timeout", "version_command")
        same = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name not in apart}
        return {
            **same,
            "command": with_file_content(self._words),
            "config": with_file_content(self._whole_config()),
            "files": with_file_content(self.files),
            "values": with_file_content(self.values),
            "code": [content_of(Path(path).expanduser(), "trainer.code") for path in self.code],
            "version": self._version(),
        }

    def train(self, examples: Sequence[Example], model: ModelRef, context: Context) -> ModelRef:
        """Run the program; the result is in `context.scratch / "model"`, and the program's log and config beside it.

        Raises UserError, with the end of the log, if the program fails or leaves no model that can be loaded.
        """
        self.check(model)
        folder = context.scratch / "tool"
        # Where the log outlives a failure and, if the program can go on from its checkpoints, these an interruption.
        kept = context.checkpoint or folder
        output = (kept if self._resumes else folder) / "output"
        for each in (folder / "data", kept, output):
            each.mkdir(parents=True, exist_ok=True)
        values = self._values(examples, model, context.seed, folder, output)
        self._write_files(examples, folder, values)
        tool = ToolProcess(filled_words(self._words, values), self._environment(values), kept / LOG, self.timeout)
        with contextlib.closing(tool.lines()) as lines:
            shown = context.progress(lines, Path(tool.words[0]).name)
            for line in shown:
                if hasattr(shown, "set_postfix_str"):  # the bar of a terminal
                    shown.set_postfix_str(line[-80:])
        resumed = (
            f" It had gone on from {values['resume']}; delete that folder to begin anew." if values["resume"] else ""
        )
        if failed := tool.failure():
            raise UserError(f"trainer 'command': `{tool.command}` {failed}.{resumed} {tool.tail()}")
        # Out of the folder that survives: a training that has ended is not gone on with.
        output = output.rename(folder / "left")
        try:
            found = found_folder(output, self.checkpoint)
            tuned = kept_model(found, context.scratch / "model", model, self.result)
        except UserError as wrong:
            raise UserError(f"trainer 'command': `{tool.command}` {wrong}. {tool.tail()}") from wrong
        try:
            require_loads(tuned)
        except UserError as wrong:
            raise UserError(
                f"trainer 'command': the model that `{tool.command}` has left in {{output}}/{found.relative_to(output)} "
                f"cannot be loaded: {wrong}. {tool.tail()}"
            ) from wrong
        context.log(tool_s=tool.seconds)
        self._keep_log(folder, kept, context.scratch)
        return tuned

    @property
    def _words(self) -> list[str]:
        return _words_of(self.command)

    @property
    def _resumes(self) -> bool:
        return "resume" in names_in([self._words, self._whole_config(), self.env])

    def _whole_config(self) -> dict[str, Any]:
        """`config_file` with `config` laid over it. Raises UserError if the file cannot be read."""
        return {**(config_of_file(self.config_file) if self.config_file else {}), **_plain(self.config)}

    def _values(
        self, examples: Sequence[Example], model: ModelRef, seed: int, folder: Path, output: Path
    ) -> dict[str, Any]:
        """What each placeholder stands for."""
        data = folder / "data"
        resume = newest(output, self.resume) if self._resumes else None
        return {
            **_plain(self.values),
            "data": str(data / "selection.jsonl"),
            "data_folder": str(data),
            "config": str(folder / self.config_name),
            "model": _model_folder(model),
            "output": str(output),
            "seed": seed % 2**31,  # tools read it as a signed number
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "micro_batch_size": self.micro_batch_size,
            "devices": self.devices,
            "accumulation": self.batch_size // (self.micro_batch_size * self.devices),
            "max_length": training_context(model, self.max_length).tokens,
            "examples": len(examples),
            "python": sys.executable,
            "resume": str(resume) if resume else None,
        }

    def _write_files(self, examples: Sequence[Example], folder: Path, values: Mapping[str, Any]) -> None:
        pool = Pool(examples, "selection")
        export(pool, pool.ids, values["data"], self.data)
        if config := self._whole_config():
            write_text_file(folder / self.config_name, filled(config, values))
        for name, content in _plain(self.files).items():
            write_text_file(folder / "data" / name, filled(content, values))

    def _environment(self, values: Mapping[str, Any]) -> dict[str, str]:
        own = {name: str(value) for name, value in filled(dict(self.env), values).items() if value is not None}
        # So that lines of a Python program come when they are printed.
        return {"PYTHONUNBUFFERED": "1", **os.environ, **own}

    def _version(self) -> str | None:
        words = filled_words(_words_of(self.version_command), {name: sys.executable for name in PLACEHOLDERS})
        return _version_of(tuple(words), tuple(sorted(self.env.items()))) if words else None

    def _keep_log(self, folder: Path, kept: Path, scratch: Path) -> None:
        """Leave the log and the config file in the stage, and delete the rest of what the program has written."""
        for path in (kept / LOG, folder / self.config_name):
            if path.is_file():
                shutil.copyfile(path, scratch / path.name)
        shutil.rmtree(folder)


@lru_cache(maxsize=64)
def _version_of(words: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> str:
    """What the program says of its version. Raises UserError if it fails."""
    status, said = first_output(words, {**os.environ, **dict(env)}, VERSION_S)
    if status or not said:
        failed = f"ended with exit status {status}" if status else "printed nothing"
        raise UserError(
            f"trainer.version_command: `{shlex.join(words)}` {failed}; set it to null to leave the version out."
        )
    return said


def _words_of(command: Any) -> list[str]:
    """The words of a command that is a list, or one line. Raises UserError for anything else, or an open quote."""
    if isinstance(command, str):
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"trainer.command: {error}: {command}") from error
    elif isinstance(command, Sequence):
        words = [str(word) for word in command]
    elif command is None:
        return []
    else:
        raise UserError(f"trainer.command has to be a list of words or one line, not {command!r}.")
    return [os.path.expanduser(word) for word in words]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as plain dicts and lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _model_folder(model: ModelRef) -> str:
    """The folder of the model's files; one of the hub is fetched at its commit. Raises UserError if that fails."""
    if folder := local_folder(model):
        return str(folder.resolve())
    from huggingface_hub import snapshot_download

    try:
        with at_commit("model", model.path, model.revision) as commit:
            return str(snapshot_download(model.path, revision=commit, ignore_patterns=WEIGHT_COPIES))
    except (OSError, ValueError) as error:
        raise UserError(
            f"model '{model.name}': '{model.path}' is neither in the local Hugging Face cache nor reachable on the hub from "
            "here; point at a local copy with model.path=/path/to/folder."
        ) from error
