"""Estimates how long a stage takes and how much it leaves on the disk, from past stages or from its operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selbench.placement import gpu_is_here
from selbench.planning.flops import TRAINING
from selbench.planning.past import Past, PastStage
from selbench.planning.plan import Basis, Settings
from selbench.planning.work import EXAMPLE_S, START_S, Work

# The largest ratio of two models that count as one size; and at which a past stage says anything.
SAME, NEAR = 1.1, 30.0
LATEST = 30  # the number of past stages that count: the machine and the code change, so that older ones mislead
# Operations per second where none were measured: two CPU cores on a small model; a data-centre GPU at about a third of its
# dense bfloat16 peak.
ASSUMED_FLOPS = {"cpu": 5e10, "gpu": 1e14}
# How far off, as a standard deviation of the logarithm, we take a time to be: one carried over from stages with other
# options, another model size or device; and one by a formula (a factor of 3.3). A measured one stands as it is.
CARRIED_SD, FORMULA_SD = 0.5, 1.2


@dataclass(frozen=True)
class Guess:
    """The estimate of one stage."""

    seconds: float | None  # None where neither past stages nor a known model size tell
    bytes: float  # added to the disk
    source: str  # where the seconds come from, for people
    basis: Basis  # what they rest on


class Estimator:
    """Estimates stages, mostly from the past stages of one store."""

    def __init__(self, past: Past, settings: Settings, gpu: bool | None = None) -> None:
        """`gpu` says whether this machine has one (None: look): stages of devices like its own count before others."""
        self.past, self.settings = past, settings
        self.gpu = gpu_is_here() if gpu is None else gpu

    def of(self, work: Work) -> Guess:
        """From past stages of the same plugin and model, else of the same model size, else scaled from another size,
        else from the operations."""
        stages, elsewhere = self._of_this_device(self.past.of(work.kind, work.plugin))
        alike = [stage for stage in stages if stage.model == work.model]
        sized = [stage for stage in stages if _size_ratio(stage, work) <= SAME]
        near = [stage for stage in stages if _size_ratio(stage, work) <= NEAR]
        for chosen, how in (
            (alike, "like"),
            (sized, "like, of the same model size,"),
            (near, "scaled by model size from"),
        ):
            if found := self._from_past(chosen, work, scale=chosen is near):
                seconds, count, same_options = found
                source = f"{how} {count} past stage{'s' if count > 1 else ''}"
                if not same_options:
                    source += " with other options"
                source += elsewhere
                basis: Basis = "measured" if chosen is not near and same_options and not elsewhere else "scaled"
                if basis == "scaled":
                    seconds = _shrunk(seconds, count, self._from_operations(work)[0])
                said = work.counted if work.kind == "training" else ""
                kept = self._bytes_left(alike or sized, work)
                return Guess(seconds, kept, _comma_joined(source, work.assumed, said), basis)
        seconds_, kept, source = self._from_operations(work)
        return Guess(seconds_, kept, source, "unknown" if seconds_ is None else "guess")

    def _of_this_device(self, stages: list[PastStage]) -> tuple[list[PastStage], str]:
        """Those that ran on a device like this machine's, as far as that is known; else all, and that they did not.

        The machine that plans a grid may be a login node without the device that carries it out.
        """
        here = [stage for stage in stages if stage.device is None or (stage.device == "cuda") == self.gpu]
        if here or not stages:
            return here, ""
        return stages, f" on {', '.join(sorted({stage.device or '' for stage in stages}))}"

    def _from_past(self, stages: list[PastStage], work: Work, scale: bool) -> tuple[float, int, bool] | None:
        """Seconds, how many past stages they come from, and whether these had the same options; None if none of them has
        a size to compare by.

        Stages with the same options count alone, if there are any. `scale`: in proportion to the model's size.
        """
        same = [stage for stage in stages if stage.options == work.options]
        for unit, size in work.sizes.items():
            if known := [stage for stage in same or stages if unit in stage.sizes][-LATEST:]:
                points = [(stage.sizes[unit], _comparable_seconds(stage, work, scale)) for stage in known]
                # What a formula takes for loading is no part of what grows with the size.
                return fitted_seconds(points, size, START_S.get(work.kind, 0.0)), len(known), bool(same)
        return None

    def _from_operations(self, work: Work) -> tuple[float | None, float, str]:
        """Seconds, bytes and source of a stage of which the past tells nothing."""
        kept = work.bytes if work.keeps else 0.0
        if work.flops is None:
            if work.kind not in EXAMPLE_S or work.tokens:  # a model runs
                return None, kept, "no estimate: the model's size is unknown"
            return work.other_s, kept, f"{EXAMPLE_S[work.kind] * 1e3:g} ms per example assumed"
        speed, how = self.speed(work, work.flops)
        source = _comma_joined(f"FLOPs model at {_in_giga(speed)} GFLOP/s {how}", work.assumed, work.counted)
        return work.flops / speed + work.other_s, kept, source

    def speed(self, work: Work, flops: float) -> tuple[float, str]:
        """Operations per second, and where that comes from: as set, from past fine-tunings of like models, or assumed."""
        if self.settings.flops_per_s:
            return self.settings.flops_per_s, "as set"
        stages, elsewhere = self._of_this_device(self.past.of("training"))
        past = [stage for stage in stages if "tokens" in stage.sizes and _size_ratio(stage, work) <= NEAR]
        if past := past[-LATEST:]:
            points = [(TRAINING * (stage.parameters or 0) * stage.sizes["tokens"], stage.seconds) for stage in past]
            return flops / fitted_seconds(points, flops), f"as in {len(past)} past fine-tunings{elsewhere}"
        return ASSUMED_FLOPS["gpu" if self.gpu else "cpu"], "assumed"

    def _bytes_left(self, stages: list[PastStage], work: Work) -> float:
        """The bytes that a stage leaves, by the median of past stages; 0 if its files are dropped."""
        if not work.keeps:
            return 0.0
        unit = next((unit for unit in work.sizes if any(unit in stage.sizes for stage in stages)), None)
        if unit is None:
            return work.bytes
        if work.kind == "training":  # the size of the weights does not depend on how long they were trained
            return float(np.median([stage.bytes for stage in stages]))
        rates = [stage.bytes / stage.sizes[unit] for stage in stages if unit in stage.sizes]
        return float(np.median(rates)) * work.sizes[unit]


def _comma_joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _in_giga(speed: float) -> str:
    return f"{speed / 1e9:,.0f}" if speed >= 1e10 else f"{speed / 1e9:.2g}"


def _comparable_seconds(stage: PastStage, work: Work, scale: bool) -> float:
    """What the past stage took, with its features if `work` includes them; with `scale`, for a model of `work`'s size."""
    seconds = stage.whole_seconds if work.whole else stage.seconds
    return seconds * (work.parameters or 1) / (stage.parameters or 1) if scale else seconds


def _size_ratio(stage: PastStage, work: Work) -> float:
    """The size of the larger model by that of the smaller; infinite where one is not known."""
    if not stage.parameters or not work.parameters:
        return float("inf")
    return max(stage.parameters / work.parameters, work.parameters / stage.parameters)


def _shrunk(seconds: float, count: int, formula: float | None) -> float:
    """A time carried over from `count` stages of another kind, drawn a little towards that of the formula.

    The mean of the two logarithms, each weighted by its precision.
    """
    if not formula or not seconds:
        return seconds
    carried, formulas = count / CARRIED_SD**2, 1 / FORMULA_SD**2
    share = carried / (carried + formulas)
    return float(np.exp(share * np.log(seconds) + (1 - share) * np.log(formula)))


def fitted_seconds(points: Sequence[tuple[float, float]], size: float, start: float = 0.0) -> float:
    """Seconds for work of this size, by a line through the (size, seconds) of past stages.

    Slope and intercept are medians (Theil 1950, Sen 1968): they pass over the first stage of a process, which also
    loads the libraries. Ours: slopes only between points whose sizes differ by a factor of 1.5 or more, neither slope
    nor intercept below 0. Where there is no such pair, `start` seconds (at most half of what a stage took) are taken to
    be fixed and the rest in proportion to the size.
    """
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a in points for b in points if b[0] > 1.5 * a[0]]
    if slopes:
        slope = max(0.0, float(np.median(slopes)))
        fixed = max(0.0, float(np.median([seconds - slope * at for at, seconds in points])))
        return fixed + slope * size
    known = [(at, seconds, min(start, seconds / 2)) for at, seconds in points]
    return float(np.median([fixed + (seconds - fixed) / at * size for at, seconds, fixed in known]))
