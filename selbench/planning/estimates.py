"""How long a stage will take and how much it will leave on the disk: as past ones did, or from its operations."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selbench.planning.flops import TRAINING
from selbench.planning.past import Past, PastStage
from selbench.planning.plan import Settings
from selbench.planning.work import LIGHT, Work

SAME, NEAR = 1.1, 30.0  # models of one size; and how far a stage of another size says anything at all
LATEST = 30  # the machine and the code change: older ones do not count
# What a device achieves where nobody has measured it: two CPU cores on a small model; a data-centre GPU at a third of
# its dense bfloat16 peak.
ASSUMED_FLOPS = {"cpu": 5e10, "gpu": 1e14}


@dataclass(frozen=True)
class Guess:
    """Seconds (None: nothing to tell them from), bytes, and where the seconds come from."""

    seconds: float | None
    bytes: float
    source: str


class Estimates:
    """Guesses from one store's past."""

    def __init__(self, past: Past, settings: Settings) -> None:
        self.past, self.settings = past, settings

    def of(self, work: Work) -> Guess:
        stages = self.past.of(work.kind, work.plugin)
        alike = [stage for stage in stages if stage.model == work.model]
        sized = [stage for stage in stages if _ratio(stage, work) <= SAME]
        near = [stage for stage in stages if _ratio(stage, work) <= NEAR]
        for chosen, how in (
            (alike, "like"),
            (sized, "like, of the same model size,"),
            (near, "scaled by model size from"),
        ):
            if found := self._from_past(chosen, work, scale=chosen is near):
                seconds, count = found
                source = f"{how} {count} past stage{'s' if count > 1 else ''}"
                return Guess(seconds, self._bytes(alike or sized, work), _joined(source, work.assumed))
        return Guess(*self._from_operations(work))

    def _from_past(self, stages: list[PastStage], work: Work, scale: bool) -> tuple[float, int] | None:
        same = [stage for stage in stages if stage.options == work.options]
        for unit, size in work.sizes.items():
            if known := [stage for stage in same or stages if unit in stage.sizes][-LATEST:]:
                points = [(stage.sizes[unit], _seconds(stage, work, scale)) for stage in known]
                return line(points, size), len(known)
        return None

    def _from_operations(self, work: Work) -> tuple[float | None, float, str]:
        kept = work.bytes if work.keeps else 0.0
        if work.flops is None:
            if work.kind not in LIGHT or work.tokens:  # a model runs
                return None, kept, "no estimate: the model's size is unknown"
            return work.light, kept, f"{LIGHT[work.kind] * 1e3:g} ms per example assumed"
        speed, how = self.speed(work, work.flops)
        source = _joined(f"FLOPs model at {_giga(speed)} GFLOP/s {how}", work.assumed, work.counted)
        return work.flops / speed + work.light, kept, source

    def speed(self, work: Work, flops: float) -> tuple[float, str]:
        """Operations per second: as set, as past fine-tunings of models of a like size suggest, or assumed."""
        if self.settings.flops_per_s:
            return self.settings.flops_per_s, "as set"
        past = [stage for stage in self.past.of("training") if "tokens" in stage.sizes and _ratio(stage, work) <= NEAR]
        if past := past[-LATEST:]:
            points = [(TRAINING * (stage.parameters or 0) * stage.sizes["tokens"], stage.seconds) for stage in past]
            return flops / line(points, flops), f"as in {len(past)} past fine-tunings"
        return ASSUMED_FLOPS["gpu" if shutil.which("nvidia-smi") else "cpu"], "assumed"

    def _bytes(self, stages: list[PastStage], work: Work) -> float:
        if not work.keeps:
            return 0.0
        unit = next((unit for unit in work.sizes if any(unit in stage.sizes for stage in stages)), None)
        if unit is None:
            return work.bytes
        if work.kind == "training":  # weights are as large however long they were tuned
            return float(np.median([stage.bytes for stage in stages]))
        rates = [stage.bytes / stage.sizes[unit] for stage in stages if unit in stage.sizes]
        return float(np.median(rates)) * work.sizes[unit]


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _giga(speed: float) -> str:
    return f"{speed / 1e9:,.0f}" if speed >= 1e10 else f"{speed / 1e9:.2g}"


def _seconds(stage: PastStage, work: Work, scale: bool) -> float:
    seconds = stage.whole_seconds if work.whole else stage.seconds
    return seconds * (work.parameters or 1) / (stage.parameters or 1) if scale else seconds


def _ratio(stage: PastStage, work: Work) -> float:
    """How many times one model is as large as the other; infinite where that is not known."""
    if not stage.parameters or not work.parameters:
        return float("inf")
    return max(stage.parameters / work.parameters, work.parameters / stage.parameters)


def line(points: Sequence[tuple[float, float]], size: float) -> float:
    """Seconds for `size` from (size, seconds) of the past: a fixed cost and a rate, each the median (Theil 1950, Sen 1968).

    The first stage of a process also pays for loading libraries, and medians pass over it. Points of one size only
    tell no rate from a fixed cost: then time is taken to be proportional.
    """
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a in points for b in points if b[0] > 1.5 * a[0]]
    if not slopes:
        return float(np.median([seconds / at * size for at, seconds in points]))
    slope = max(0.0, float(np.median(slopes)))
    fixed = max(0.0, float(np.median([seconds - slope * at for at, seconds in points])))
    return fixed + slope * size
