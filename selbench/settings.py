"""Every setting of a run, once: its default, its help text and its choices. Knows no Hydra.

`Config` is what a command line composes, `Run` the same in plain objects; the help page, the validation and the
settings that a comparison leaves aside are derived from the fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union, get_args

from selbench.api import ModelRef
from selbench.errors import UserError, unknown

MISSING = "???"  # OmegaConf's mark of a value that has no default
Reuse = Literal["missing", "verify", "none"]
REUSE = get_args(Reuse)
RETRY = ("failed", "skipped", "all")


def setting(
    default: Any,
    help: str,
    *,
    example: str = "",
    group: bool = False,
    choices: Sequence[str] = (),
    changes_results: bool = True,
) -> Any:
    """A field that is a setting.

    Args:
        default: its value where none is given; of a class: made anew for each.
        help: what it is, for the help page.
        example: what to type for a thing of one's own.
        group: its values are names of presets and plugins.
        choices: the values that are valid.
        changes_results: whether scores or the selection may depend on it; if not, a comparison leaves it aside.
    """
    about = {"help": help, "example": example, "group": group, "valid": tuple(choices), "changes": changes_results}
    return (
        field(default_factory=default, metadata=about) if callable(default) else field(default=default, metadata=about)
    )


@dataclass
class Tracking:
    """Where records are mirrored to. `uri` is any MLflow tracking URI; None: an SQLite file under output_dir."""

    enabled: bool = True
    uri: Optional[str] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)


# Not frozen, because OmegaConf would make the nodes of a frozen dataclass read-only.
@dataclass
class PlainSettings:
    """The settings that are numbers, words and switches: the same on the command line and in a run."""

    budget: Union[int, float] = setting(0.1, "how much: 0.15 is a share, 7800 a number")  # noqa: UP007
    budget_unit: str = setting("examples", "or tokens: response tokens under the model's tokenizer")
    seed: int = setting(0, "0, 1, ...: from it those of selection, training and evaluation are derived")
    keep_models: bool = setting(
        False, "true: keep fine-tuned models after they have been evaluated", changes_results=False
    )
    reuse: str = setting(
        "missing",
        "missing: do what is missing; verify: also refuse what is damaged; none: do all again",
        choices=REUSE,
        changes_results=False,
    )
    retry: Optional[str] = setting(  # noqa: UP045
        None,
        "failed, skipped or all: run again what ended so; null: show how it ended",
        choices=RETRY,
        changes_results=False,
    )
    fail_fast: bool = setting(False, "true: stop at the first failure", changes_results=False)
    comparison: str = setting("default", "the name that records and MLflow runs are filed under", changes_results=False)
    baseline: str = setting("random", "the arm that the leaderboard compares the others with", changes_results=False)
    shared_store: bool = setting(
        False, "true: output_dir is on a file system that several machines write to", changes_results=False
    )
    price_per_hour: Optional[float] = setting(  # noqa: UP045
        None, "of one device: what runs and `selbench plan` count as money", changes_results=False
    )
    currency: str = setting("USD", "what the price is in", changes_results=False)
    sweep: Optional[str] = setting(  # noqa: UP045
        None, "the sweep that a run is a cell of; set by `selbench -m`", changes_results=False
    )


@dataclass
class Config(PlainSettings):
    """One cell of the grid, as composed."""

    pool: Any = setting(
        MISSING,
        "what is selected from",
        group=True,
        example="a file of yours: pool=file pool.path=mine.jsonl; a hub data set: pool=hub pool.hub=owner/name",
    )
    selector: Any = setting(MISSING, "who selects", group=True)
    model: ModelRef = setting(
        ModelRef,
        "what is fine-tuned",
        group=True,
        example="a folder of yours: model=local model.path=/path/to/folder",
    )
    scorer: Optional[ModelRef] = setting(  # noqa: UP045
        None, "what a selector sees with", group=True, example="null (the default): the model itself"
    )
    target: dict[str, Any] = setting(dict, "what targeted methods see", group=True, example="several: target=[a,b]")
    trainer: Any = setting(MISSING, "how it is fine-tuned", group=True)
    suite: dict[str, Any] = setting(dict, "what scores it", group=True, example="several: suite=[a,b]")
    tracking: Tracking = setting(Tracking, "where records are mirrored", group=True, changes_results=False)
    output_dir: str = setting(
        "outputs", "where everything is kept; default: $SELBENCH_OUTPUTS, else outputs", changes_results=False
    )
    data_root: str = setting(
        "data", "where presets of local files look for them; default: $SELBENCH_DATA, else data", changes_results=False
    )
    # Read before Hydra starts, because what they hold becomes part of the valid configuration.
    plugin_path: Any = setting(
        None,
        "a folder or file, or [a,b], of plugins of yours; default: $SELBENCH_PLUGIN_PATH",
        changes_results=False,
    )
    published: Any = setting(
        None, "figures of a paper to show beside the leaderboard: source and rows", changes_results=False
    )


@dataclass(kw_only=True)
class Run(PlainSettings):
    """One cell in plain objects: from here on nothing knows Hydra. `started` is when it was made of its settings."""

    pool: Any
    selector: Any
    scorer: ModelRef
    model: ModelRef
    targets: Mapping[str, Any]
    trainer: Any
    suites: Mapping[str, Any]
    tracking: Tracking
    reuse: Reuse = "missing"
    output_dir: Path
    started: str
    resolved: Mapping[str, Any]


def without_effect() -> tuple[str, ...]:
    """The settings that change no result: they say where, when and how it is kept, not what."""
    return tuple(item.name for item in dataclasses.fields(Config) if not item.metadata["changes"])


def check_choices(values: Mapping[str, Any]) -> None:
    """Raises UserError, with the valid ones, for a value that is none of a setting's choices."""
    for item in dataclasses.fields(Config):
        valid, value = item.metadata["valid"], values[item.name]
        if valid and value is not None and value not in valid:
            raise UserError(unknown(item.name, value, valid))


@dataclass(frozen=True)
class Help:
    """What the help page says of one setting."""

    name: str
    text: str
    example: str
    group: bool
    default: str


def settings_help() -> list[Help]:
    """Of every setting: first those whose values are presets and plugins, as a run goes; then the plain ones."""
    fields = sorted(dataclasses.fields(Config), key=lambda item: not item.metadata["group"])
    return [
        Help(
            item.name, item.metadata["help"], item.metadata["example"], item.metadata["group"], _as_typed(item.default)
        )
        for item in fields
    ]


def _as_typed(value: Any) -> str:
    """A default as it is written on the command line; empty for one that is no plain value."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return str(value) if isinstance(value, str | int | float) else ""
