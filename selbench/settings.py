"""Every setting of a run, declared once with its default, help text and choices. Nothing here knows Hydra.

`Config` is what a command line composes, `Run` the same in plain objects. The help page, the validation, and the list
of settings in which two comparable runs may differ are derived from the fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union, get_args

from selbench.api import ModelRef
from selbench.declare import LEAKS
from selbench.errors import UserError, unknown

MISSING = "???"  # OmegaConf's mark of a value that has no default
Reuse = Literal["missing", "verify", "none"]
REUSE = get_args(Reuse)
DTYPES = ("float32", "bfloat16", "float16")
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
        default: its value where none is given; a class is called anew for each configuration.
        help: its text on the help page.
        example: a line for the help page that shows what to type, as for a model of one's own.
        group: whether its values are names of presets and plugins.
        choices: the valid values; empty if any value of the type is valid.
        changes_results: whether scores or the selection may depend on it. Two runs that differ only in settings that
            change no result are comparable.
    """
    about = {"help": help, "example": example, "group": group, "valid": tuple(choices), "changes": changes_results}
    return (
        field(default_factory=default, metadata=about) if callable(default) else field(default=default, metadata=about)
    )


@dataclass
class Tracking:
    """The MLflow server that records are mirrored to."""

    enabled: bool = True
    # Any MLflow tracking URI; None: an SQLite file under output_dir.
    uri: Optional[str] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)


@dataclass
class Jobs:
    """Options of the launcher by the kind of its jobs."""

    stages: dict[str, Any] = field(default_factory=dict)
    cells: dict[str, Any] = field(default_factory=dict)


# Not frozen, because OmegaConf would make the nodes of a frozen dataclass read-only.
@dataclass
class PlainSettings:
    """The settings that are numbers, words and switches: the same on the command line and in a run."""

    budget: Union[int, float, str] = setting(  # noqa: UP007
        0.1,
        "how much to select: 0.15 is a share of the pool, 7800 a number (of examples or tokens), all: whatever the method "
        "finds, at most the whole pool",
    )
    budget_unit: str = setting(
        "examples", "what the budget counts: examples, or tokens (of responses, under the model's tokenizer)"
    )
    seed: int = setting(0, "0, 1, ...: the seeds of selection, training and evaluation are derived from it")
    leaks: str = setting(
        "report",
        "what to do about examples of the pool or of a target that hold test items of the run's suites. report: say so; drop: "
        "leave them out; refuse: stop before anything is spent. For one alone: pool.leaks=, target.NAME.leaks=",
        choices=LEAKS,
    )
    keep_models: bool = setting(False, "true: keep fine-tuned models after their evaluation", changes_results=False)
    reuse: str = setting(
        "missing",
        "missing: compute only what the store lacks; verify: also refuse damaged files; none: compute all anew",
        choices=REUSE,
        changes_results=False,
    )
    retry: Optional[str] = setting(  # noqa: UP045
        None,
        "failed, skipped or all: run the recorded runs that ended so again; null: only say how they ended",
        choices=RETRY,
        changes_results=False,
    )
    feature_shards: int = setting(
        1,
        "into how many shards a feature is cut that is computed over the pool: jobs of their own under a launcher, else one "
        "after the other, each of which is done once and for all. The values do not depend on it",
        changes_results=False,
    )
    fail_fast: bool = setting(False, "true: start no further cell of a grid after a failure", changes_results=False)
    isolate: Optional[bool] = setting(  # noqa: UP045
        None,
        "true: run cells in a process of their own, so that one that crashes or runs out of memory fails alone; null: under "
        "launchers other than basic, and where a time limit is set",
        changes_results=False,
    )
    cell_time_limit: Optional[str] = setting(  # noqa: UP045
        None, "the longest that a cell may take (90m, 2h, 1d): then it is ended and fails", changes_results=False
    )
    stage_time_limit: Optional[str] = setting(  # noqa: UP045
        None,
        "the longest that computing one stage (a selection, a fine-tuning) may take; then its cell is ended and fails",
        changes_results=False,
    )
    attempts: int = setting(
        2, "how often an isolated cell is tried whose process dies; errors are not tried again", changes_results=False
    )
    attempts_at_limit: bool = setting(
        False, "true: a cell that reaches a time limit is tried again too", changes_results=False
    )
    comparison: str = setting("default", "the name that records and MLflow runs are filed under", changes_results=False)
    baseline: str = setting("random", "the arm that the leaderboard compares the others with", changes_results=False)
    shared_store: bool = setting(
        False, "true: output_dir is on a file system that several machines write to", changes_results=False
    )
    price_per_hour: Optional[float] = setting(  # noqa: UP045
        None, "the price of one device-hour, for the costs of runs and of `selbench plan`", changes_results=False
    )
    device_memory_gb: Optional[float] = setting(  # noqa: UP045
        None,
        "the memory, in 10^9 bytes, of the GPU that a run gets (or of a machine without one), for the warnings of `selbench "
        "plan`; null: what this machine has",
        changes_results=False,
    )
    currency: str = setting("USD", "the currency of the price", changes_results=False)
    auto_dtype: Optional[str] = setting(  # noqa: UP045
        None,
        "what dtype=auto of models means; null: bfloat16 where there is a GPU, else float32, found out by the machine "
        "that starts a run or a grid, for all cells of the grid",
        choices=DTYPES,
        changes_results=False,
    )
    sweep: Optional[str] = setting(  # noqa: UP045
        None, "the sweep that the run is a cell of; set by `selbench -m`", changes_results=False
    )


@dataclass
class Config(PlainSettings):
    """A run as it is composed on the command line, from presets and settings."""

    pool: Any = setting(
        MISSING,
        "what is selected from",
        group=True,
        example="a file of yours: pool=file pool.path=mine.jsonl (other columns: pool.columns.response=best); a hub data set: "
        "pool=hub pool.hub=owner/name",
    )
    selector: Any = setting(MISSING, "the method that selects", group=True)
    model: ModelRef = setting(
        ModelRef,
        "the model to fine-tune",
        group=True,
        example="a folder of yours: model=local model.path=/path/to/folder",
    )
    scorer: Optional[ModelRef] = setting(  # noqa: UP045
        None, "the model selectors use", group=True, example="null (the default): the model itself"
    )
    target: dict[str, Any] = setting(
        dict,
        "examples to select towards",
        group=True,
        example="a file of yours: target=file target.file.path=mine.jsonl; several: target=[a,b]",
    )
    trainer: Any = setting(MISSING, "how to fine-tune", group=True)
    suite: dict[str, Any] = setting(
        dict,
        "the tests that score it",
        group=True,
        example="yours: suite=lm_eval suite.lm_eval.include_path=FOLDER, or "
        "suite=response_loss suite.response_loss.sets.NAME=FILE",
    )
    tracking: Tracking = setting(Tracking, "where records are mirrored", group=True, changes_results=False)
    output_dir: str = setting(
        "outputs",
        "the folder of records, store and reports; default: $SELBENCH_OUTPUTS, else outputs",
        changes_results=False,
    )
    data_root: str = setting(
        "data",
        "the folder where presets of local files look for them; default: $SELBENCH_DATA, else data",
        changes_results=False,
    )
    # Read before Hydra starts, because what they hold becomes part of the valid configuration.
    plugin_path: Any = setting(
        None,
        "a folder or file of your own plugins, or several as [a,b]; default: $SELBENCH_PLUGIN_PATH",
        changes_results=False,
    )
    jobs: Jobs = setting(
        Jobs,
        "options of the launcher for one kind of jobs: jobs.stages.timeout_min=60 for those that compute the stages which "
        "cells share, jobs.cells.gpus_per_node=2 for the cells",
        changes_results=False,
    )
    published: Any = setting(
        None, "scores of a paper to show beside the leaderboard: their source and rows", changes_results=False
    )


@dataclass(kw_only=True)
class Run(PlainSettings):
    """A run in plain objects, without Hydra."""

    budget: int | float = 0.1

    pool: Any  # a plugin of kind pool, with its options as attributes
    selector: Any  # a plugin of kind selector
    scorer: ModelRef  # `model` where none was chosen
    model: ModelRef
    targets: Mapping[str, Any]  # name -> plugin of kind pool
    trainer: Any  # a plugin of kind trainer
    suites: Mapping[str, Any]  # name -> plugin of kind suite
    tracking: Tracking
    reuse: Reuse = "missing"
    output_dir: Path
    started: str  # when it was composed: ISO 8601, UTC
    resolved: Mapping[str, Any]  # the configuration as a record keeps it
    dtype_by_machine: bool = False  # whether a dtype=auto was settled by what the machine has that composed the run
    elsewhere: bool = False  # whether the launcher of its grid may carry it out on another machine

    @property
    def model_suites(self) -> dict[str, Any]:
        """The suites that score a model."""
        return {name: suite for name, suite in self.suites.items() if not suite.scores_selections}

    @property
    def selection_suites(self) -> dict[str, Any]:
        """The suites that score the selection itself."""
        return {name: suite for name, suite in self.suites.items() if suite.scores_selections}


def dtype_warning(runs: Sequence[Run]) -> str | None:
    """What to say of cells whose dtype=auto was settled here although they run elsewhere, perhaps on a GPU."""
    guessed = [run for run in runs if run.dtype_by_machine and run.elsewhere]
    if not guessed:
        return None
    return (
        "dtype=auto is float32 in all cells, because this machine has no GPU; whether those that its launcher uses have "
        "one cannot be known here. If they have, set auto_dtype=bfloat16."
    )


def without_effect() -> tuple[str, ...]:
    """The names of the settings on which neither scores nor selections depend."""
    return tuple(item.name for item in dataclasses.fields(Config) if not item.metadata["changes"])


def amount_of(budget: float | str) -> int | float:
    """The amount that a budget stands for: `all` is the share 1.0. Raises UserError for any other word."""
    if isinstance(budget, str) and budget != "all":
        raise UserError(f"budget={budget} is neither a share (0.15, 15%), a number (7800) nor all.")
    return 1.0 if isinstance(budget, str) else budget


def check_choices(values: Mapping[str, Any]) -> None:
    """Raises UserError, listing the choices, if a setting's value is none of its choices."""
    for item in dataclasses.fields(Config):
        valid, value = item.metadata["valid"], values[item.name]
        if valid and value is not None and value not in valid:
            raise UserError(unknown(item.name, value, valid))


@dataclass(frozen=True)
class Help:
    """What the help page says of one setting."""

    name: str
    text: str
    example: str  # empty if the setting has none
    group: bool  # whether its values are names of presets and plugins
    default: str  # as it is typed; empty for one that is no plain value


def settings_help() -> list[Help]:
    """The help of every setting: first those whose values are presets and plugins, then the plain ones."""
    fields = sorted(dataclasses.fields(Config), key=lambda item: not item.metadata["group"])
    return [
        Help(
            item.name, item.metadata["help"], item.metadata["example"], item.metadata["group"], _as_typed(item.default)
        )
        for item in fields
    ]


def _as_typed(value: Any) -> str:
    """A default as it is typed on the command line; empty for one that is no plain value."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return str(value) if isinstance(value, str | int | float) else ""
