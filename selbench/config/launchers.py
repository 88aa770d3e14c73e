"""Hydra's launchers, which carry out the cells of a grid: which one a command line names, and what it needs installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selbench.addresses import flat_options
from selbench.config.composition import compose_config
from selbench.config.held_selectors import in_hydras_words
from selbench.config.messages import LAUNCHERS
from selbench.errors import UserError
from selbench.placement import gpus_here
from selbench.plugins import Registry

ENGINES = {
    "BasicLauncher": "basic",
    "JoblibLauncher": "joblib",
    "RayLauncher": "ray",
    "LocalLauncher": "submitit_local",
    "SlurmLauncher": "submitit_slurm",
}
STAY_HERE = ("basic", "joblib", "processes", "submitit_local")  # launchers whose cells stay on the machine


@dataclass(frozen=True)
class Launcher:
    """The launcher of one grid."""

    name: str = "basic"  # as chosen: that of a preset, or of the launcher itself
    engine: str = (
        "basic"  # basic, joblib, ray, submitit_local, submitit_slurm; else the class of a launcher not known here
    )
    at_once: int | None = 1  # cells that it carries out at once; None where that depends on the cluster
    stages_at_once: int | None = 1  # the same of the stages that cells share, which may have options of their own

    @property
    def in_order(self) -> bool:
        """Whether it carries out one cell after the other in the command's own process."""
        return self.engine == "basic"

    @property
    def stays_here(self) -> bool:
        """Whether its cells run on the machine that starts the grid, as far as its name tells."""
        return self.name in STAY_HERE


def launcher_of(overrides: Sequence[str], registry: Registry, jobs: Mapping[str, Mapping[str, Any]]) -> Launcher:
    """The launcher of a grid, from the settings of one of its cells; `jobs` is the setting of that name.

    Raises UserError if it is not known or not installed, or has no such option.
    """
    overrides = [*overrides, "hydra.mode=MULTIRUN"]
    config = compose_config(overrides, registry, with_hydra=True).hydra
    name = str(config.runtime.choices[LAUNCHERS])
    target = str(config.launcher.get("_target_")).rpartition(".")[2]
    engine = ENGINES.get(target, target)
    own = {
        kind: _with_options(overrides, registry, f"jobs.{kind}", options) if options else config.launcher
        for kind, options in jobs.items()
    }
    return Launcher(name, engine, _at_once(engine, own["cells"]), _at_once(engine, own["stages"]))


def _with_options(overrides: Sequence[str], registry: Registry, setting: str, options: Mapping[str, Any]) -> Any:
    """The configuration of the launcher with options of one kind of jobs. Raises UserError for those it does not have."""
    texts = [f"hydra.launcher.{key}={in_hydras_words(value)}" for key, value in flat_options(options)]
    try:
        return compose_config([*overrides, *texts], registry, with_hydra=True).hydra.launcher
    except UserError as error:
        raise UserError(f"{setting}: {error}") from error


def _at_once(engine: str, options: Any) -> int | None:
    if engine == "joblib":
        return _processes(options.n_jobs)
    if engine == "submitit_slurm":
        return int(options.array_parallelism)
    return 1 if engine == "basic" else None


def require_ready(launcher: Launcher) -> None:
    """Raises UserError if this machine cannot start the launcher's jobs; it may still plan them."""
    if launcher.engine == "submitit_slurm" and not shutil.which("srun"):
        raise UserError(
            f"hydra/launcher={launcher.name}: there is no srun on this machine; start the sweep where jobs of SLURM's are "
            "submitted. hydra/launcher=processes carries out the cells here."
        )


def _processes(asked: int) -> int:
    """The number of processes that joblib starts: for -1 one a core, for -2 one less. Raises UserError for 0."""
    if asked == 0:
        raise UserError("hydra.launcher.n_jobs=0: at least one process is needed; -1 is one for each core.")
    return asked if asked > 0 else max(1, cores_here() + 1 + asked)


def cores_here() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes_here() -> int:
    """How many processes suit this machine: one a GPU; without a GPU one for every four cores, and at least two."""
    return len(gpus_here()) or max(2, cores_here() // 4)


def resolvers() -> dict[str, Any]:
    """The functions that the presets of launchers call, by the names that they have there."""
    return {"processes_here": processes_here, "gpus_per_cell": lambda: int(bool(gpus_here()))}


def require_one_launch(cells: Sequence[Sequence[str]]) -> None:
    """Raises UserError if a setting of Hydra's own, such as its launcher, differs between the cells of a grid."""
    seen: dict[str, str] = {}
    for cell in cells:
        for text in cell:
            key, _, value = text.partition("=")
            if key.lstrip("+~").startswith(("hydra/", "hydra.")) and seen.setdefault(key, value) != value:
                raise UserError(f"{key} has the values {seen[key]} and {value}: all cells of a grid have one {key}.")
