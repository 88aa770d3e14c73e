"""selbench as a Hydra program: its command line, its flags, and the launching of a grid's cells."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from selbench.addresses import addressed
from selbench.config.composition import PRIMARY, to_run
from selbench.config.grids import expand, single_cell
from selbench.config.runs import Cell, with_presets_folder
from selbench.config.schemas import registered
from selbench.errors import UserError
from selbench.placement import resolved_dtype
from selbench.presets import CONFIG_MODULE
from selbench.settings import Run


@dataclass(frozen=True)
class CommandLine:
    """A command line as typed: the settings, and those flags of Hydra's that selbench reads itself."""

    overrides: list[str]  # the settings, key=value
    multirun: bool = False
    config_dir: Path | None = None
    help: bool = False
    for_hydra: bool = False  # whether there is a flag that only Hydra understands, as --cfg job


def command_line(arguments: Sequence[str]) -> CommandLine:
    """The settings and flags of a command line. Raises UserError for --config-name and --config-path."""
    parser = argparse.ArgumentParser(add_help=False, prog="selbench")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--run", "-r", action="store_true")
    for long, short in (("dir", "cd"), ("name", "cn"), ("path", "cp")):
        parser.add_argument(f"--config-{long}", f"-{short}")
    # Hydra has no public parser of its flags. They are declared here so that their values are not taken for settings.
    hydras = [parser.add_argument("--info", "-i", nargs="?", const="all")]
    hydras += [parser.add_argument(*names) for names in (("--cfg", "-c"), ("--experimental-rerun",))]
    for names in (("--hydra-help",), ("--shell-completion", "-sc"), ("--version",)):
        hydras.append(parser.add_argument(*names, action="store_true"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    flags, not_known = parser.parse_known_intermixed_args(list(arguments))
    if flags.config_name or flags.config_path:
        raise UserError(
            "--config-name and --config-path are fixed; add a folder of your own configs with --config-dir DIR."
        )
    return CommandLine(
        flags.overrides,
        flags.multirun,
        Path(flags.config_dir) if flags.config_dir else None,
        flags.help,
        bool(not_known) or any(getattr(flags, flag.dest) for flag in hydras),
    )


Job = Callable[[Run, int], object]  # called with the run that is composed of a job's overrides, and the job's number


@dataclass(frozen=True)
class Wave:
    """Jobs that are launched together, before those of the next wave."""

    job: Job
    overrides: Sequence[Sequence[str]]  # of each job
    options: Mapping[str, Any] = field(default_factory=dict)  # of the launcher, for these jobs only
    may_fail: bool = False  # whether the command goes on when a job fails


class ListedCells(Sweeper):
    """Hands Hydra's launcher the cells that `composed` gave, which are not a product of axes where options have owners."""

    waves: Sequence[Wave] = ()
    problems: ClassVar[list[str]] = []  # how waves have failed

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None) -> None:
        self.max_batch_size = max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self._context, self._config = hydra_context, config

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch every wave, in batches of `hydra.sweeper.max_batch_size`.

        Raises what a job has raised; a wave that may fail leaves a sentence in `problems` instead, and the next one begins.
        """
        returned: list[Sequence[JobReturn]] = []
        for wave in self.waves:
            try:
                returned += self._launched(wave)
            except (
                Exception
            ) as error:  # a launcher may raise anything, as when a job of its is killed or ended by its queue
                if not wave.may_fail:
                    raise
                type(self).problems.append(f"{type(error).__name__}: {error}".strip().partition("\n")[0])
        return returned

    def _launched(self, wave: Wave) -> Iterator[Sequence[JobReturn]]:
        launcher = self._launcher(wave)
        size = self.max_batch_size if self.max_batch_size and self.max_batch_size > 0 else len(wave.overrides)
        for start in range(0, len(wave.overrides), size):
            jobs = launcher.launch(wave.overrides[start : start + size], initial_job_idx=start)
            for job in jobs:
                _ = job.return_value  # raises the job's exception
            yield jobs

    def _launcher(self, wave: Wave) -> Any:
        config = copy.deepcopy(self._config)
        with read_write(config.hydra):
            config.hydra.launcher = OmegaConf.merge(config.hydra.launcher, wave.options)
        return Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=_task(wave.job), config=config
        )


def arguments_for_hydra(arguments: Sequence[str], typed: CommandLine) -> list[str]:
    """The arguments in the words of Hydra, for flags such as --cfg: of a grid with options of its parts, the first cell."""
    registry = registered(typed.overrides, typed.config_dir)
    if not any(map(addressed, typed.overrides)):
        return list(arguments)
    found = with_presets_folder(typed.overrides, registry)
    cell = expand(found, registry)[0] if typed.multirun else single_cell(found, registry, "add -m")
    flags = [text for text in arguments if text not in (*typed.overrides, "-m", "--multirun")]
    return [*flags, *cell]


def launch(typed: CommandLine, waves: Sequence[Wave]) -> list[str]:
    """Run the waves of a grid through Hydra's launcher: each job is called with its run and number (from 0).

    Returns how those waves have failed that may.
    """
    folder = ["--config-dir", str(typed.config_dir.expanduser())] if typed.config_dir else []
    ListedCells.waves, ListedCells.problems = waves, []
    # Hydra makes sweepers of its own packages only, so ours takes the place of the basic one while the grid is launched.
    sweepers = Plugins.instance().class_name_to_class
    before = {name: sweepers[name] for name in sweepers if name.endswith(".BasicSweeper")}
    sweepers.update(dict.fromkeys(before, ListedCells))
    try:
        # Hydra composes the settings of the launch from the first cell; the others come from the sweeper.
        hand_over(["-m", *folder, *waves[-1].overrides[0], *filter(_is_hydras, typed.overrides)])
    finally:
        sweepers.update(before)
    return ListedCells.problems


def launched(cells: Sequence[Cell], sweep: str) -> list[Cell]:
    """The cells as a sweep carries them out: with its id, and without what is Hydra's own.

    What dtype=auto means here, it means in every cell, whatever the cell's machine has: the keys of the grid are of that.
    """
    told: dict[str, Any] = {"sweep": sweep}
    if all(cell.run.auto_dtype is None for cell in cells):
        told["auto_dtype"] = resolved_dtype("auto")
    return [
        Cell(
            [*(text for text in cell.overrides if not _is_hydras(text)), *(f"{key}={told[key]}" for key in told)],
            dataclasses.replace(cell.run, **told, resolved={**cell.run.resolved, **told}),
            cell.launcher,
        )
        for cell in cells
    ]


def hand_over(arguments: Sequence[str], job: Job = lambda run, number: None) -> None:
    """Run as a Hydra program with these arguments; `job` is called for each run, with its number (from 0)."""
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_MODULE}", config_name=PRIMARY)(_task(job))()


def _task(job: Job) -> TaskFunction:
    """A job in the form that Hydra calls."""

    def task(config: DictConfig) -> None:
        job(to_run(config), HydraConfig.get().job.num or 0)

    return task


def _is_hydras(text: str) -> bool:
    """Whether an override is for Hydra itself: its launcher, its logging."""
    return re.match(r"[+~]*hydra[./]", text) is not None
