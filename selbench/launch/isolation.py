"""What a run's settings say about isolation: whether its cells run in a process of their own, for how long, how often."""

from __future__ import annotations

import re
from dataclasses import dataclass

from selbench.errors import UserError
from selbench.settings import Run

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Limits:
    """The longest that things may take, in seconds; None where there is no limit."""

    cell_s: float | None = None
    stage_s: float | None = None


def limits_of(run: Run) -> Limits:
    """The time limits of a run. Raises UserError for what is no duration."""
    return Limits(*(_seconds(name, getattr(run, name)) for name in ("cell_time_limit", "stage_time_limit")))


def _seconds(name: str, typed: str | None) -> float | None:
    if typed is None:
        return None
    text = typed.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not seconds:
        raise UserError(
            f"{name}={typed} is no duration: write a number with its unit, as in 30s, 90m, 2h, 1d or 1h30m."
        )
    return seconds


def is_isolated(run: Run, engine: str = "basic") -> bool:
    """Whether the run is carried out in a process of its own, under a launcher of this engine."""
    if run.isolate is not None:
        return run.isolate
    return engine != "basic" or run.cell_time_limit is not None or run.stage_time_limit is not None


def check_isolation(run: Run) -> None:
    """Raises UserError for settings of isolation that mean nothing, or cannot go together."""
    limits = limits_of(run)
    if run.attempts < 1:
        raise UserError(f"attempts={run.attempts}: a cell is tried at least once.")
    if run.isolate is False:
        for name, seconds in (("cell_time_limit", limits.cell_s), ("stage_time_limit", limits.stage_s)):
            if seconds is not None:
                raise UserError(f"{name} needs a process that can be ended: leave isolate=false out.")
