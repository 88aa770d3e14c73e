"""The plan of a sweep as plain data: what it would do and cost. Made by planner.py, shown by tables.py, kept as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# The kinds of stages, in the order in which a run computes them.
STAGES = ("tokens", "autoencoder", "features", "selection", "leaks", "lengths", "training", "evaluation")
Status = Literal["cached", "to run"]
# What a time rests on: stages like it that ran before; stages of other options, size or device; a formula; nothing.
Basis = Literal["cached", "measured", "scaled", "guess", "unknown"]


@dataclass(frozen=True)
class Settings:
    """What the planner assumes where past stages do not tell."""

    price: float | None = None  # money per device-hour; None: unknown
    currency: str = "USD"
    flops_per_s: float | None = None  # operations per second of the device; None: by whether there is a GPU
    items: int = 1000  # test items of a suite of which nothing is known
    item_tokens: int = 128  # tokens of a test item
    chars_per_token: float = 4.0  # where the tokens of a pool were never counted


@dataclass(frozen=True)
class PlannedStage:
    """One distinct stage of the grid, however many cells share it.

    Seconds, tokens and bytes are estimates for a stage that is to run, None where nothing tells them; 0 if cached.
    """

    stage: str  # its kind
    id: str  # its key in the store, or a stand-in ("?...") where the key depends on a selection that is not made yet
    label: str  # for people
    status: Status
    exact: bool = True  # whether `id` is the key; two stages with stand-ins may turn out to be one
    seconds: float | None = 0.0
    tokens: float | None = 0.0  # that the model reads or is trained on
    bytes: float | None = 0.0  # added to the disk
    memory: float | None = (
        None  # the bytes of a fine-tuning on its device, at its peak; None: not known, or no fine-tuning
    )
    source: str = "cached"  # where the estimate of the time comes from
    basis: Basis = "cached"


@dataclass(frozen=True)
class PlannedCell:
    """One cell of the grid."""

    number: int  # from 1, as in the sweep
    name: str
    key: str  # of the run
    status: str  # of its record: finished, skipped, failed; "new" without a record
    runs: bool  # whether the sweep would run it
    stages: tuple[str, ...]  # the ids of the stages it needs


@dataclass(frozen=True)
class Detectable:
    """What the planned seeds can show of one suite on one model."""

    suite: str
    model: str
    seeds: int  # the fewest seeds of any arm
    spread: (
        float | None
    )  # the standard deviation over seeds that is assumed, in the metric's units; None: nothing is known
    difference: float | None  # the smallest between two arms that gets a verdict at 80 % power; None if it is not known
    source: str  # where the spread comes from
    guess: bool = False  # whether the spread is that of other scores, or rests on few
    arms: int = 2  # that are compared with each other, in the largest table
    tables: int = 1  # of the whole grid
    item_spread: float | None = (
        None  # what the choice of items adds to a difference (standard deviation); None: unknown
    )


@dataclass(frozen=True)
class Needed:
    """Something that the runs need and that is not on the machine that plans."""

    part: str  # whose it is: `pool alpaca`, `model llama-2-7b`, `suite mmlu`, `selector kcenter`
    what: str  # `data set owner/name`, or what the part itself says
    why: str = ""  # why it cannot be fetched now; empty where `what` says so


@dataclass(frozen=True)
class Waves:
    """How long a sweep takes whose jobs go out in two waves: the stages that several cells share, then the cells."""

    workers: int  # jobs that are carried out at once
    stages: int  # of the first wave
    stages_s: float
    cells: int  # of the second wave
    cells_s: float
    shards: int = 0  # of features, among the stages of the first wave


@dataclass(frozen=True)
class Plan:
    """The cells and distinct stages of a sweep, and what they add up to."""

    created: str
    settings: Settings
    cells: tuple[PlannedCell, ...]
    stages: tuple[PlannedStage, ...]
    detectable: tuple[Detectable, ...] = ()
    record_bytes: float = 0.0  # of all records that are added
    peak_bytes: float = 0.0  # of the largest weights that are written, evaluated and dropped again
    free_bytes: float = 0.0  # on the disk of the output folder
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    needed: tuple[Needed, ...] = ()  # before a run can start
    memory_warnings: tuple[str, ...] = ()  # those of the warnings that say what does not fit into the device
    waves: Waves | None = None  # where the cells are carried out by a launcher
    totals: tuple[dict[str, Any], ...] = field(default=(), init=False)  # a row per kind of stage, the last the total

    def __post_init__(self) -> None:
        kinds = [(kind, [stage for stage in self.stages if stage.stage == kind]) for kind in STAGES]
        rows = [_totals_row(kind, stages, self.settings) for kind, stages in kinds if stages]
        whole = _totals_row("total", self.stages, self.settings)
        object.__setattr__(self, "totals", (*rows, {**whole, "bytes": whole["bytes"] + self.record_bytes}))

    @property
    def total(self) -> Mapping[str, Any]:
        """The last row of `totals`: needed, cached, to_run, at_most, seconds, tokens, bytes, money, unknown."""
        return self.totals[-1]

    @property
    def fits(self) -> bool:
        """Whether the disk has room for all that is added, and for the largest weights that are dropped again."""
        return bool(self.total["bytes"] + self.peak_bytes <= self.free_bytes)

    def plain(self) -> dict[str, Any]:
        """As nested dictionaries and lists, the shape of its JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The text of plan.json."""
        return json.dumps(self.plain(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` wrote. Raises ValueError for any other text."""
        try:
            data = json.loads(text)
            del data["totals"]
            data["settings"] = Settings(**data["settings"])
            data["cells"] = tuple(PlannedCell(**{**cell, "stages": tuple(cell["stages"])}) for cell in data["cells"])
            data["waves"] = Waves(**data["waves"]) if data.get("waves") else None
            data["stages"] = tuple(PlannedStage(**stage) for stage in data["stages"])
            data["detectable"] = tuple(Detectable(**row) for row in data["detectable"])
            data["needed"] = tuple(Needed(**row) for row in data.get("needed", ()))
            texts = {name: tuple(data.get(name, ())) for name in ("warnings", "notes", "memory_warnings")}
            return cls(**{**data, **texts})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a plan: {error}") from error


def _totals_row(kind: str, stages: Iterable[PlannedStage], settings: Settings) -> dict[str, Any]:
    """One row of totals. `unknown` counts the stages to run without an estimate of time, which add no seconds.

    `at_most` says that some stages may turn out to be one.
    """
    stages = list(stages)
    running = [stage for stage in stages if stage.status == "to run"]
    seconds = sum(stage.seconds or 0.0 for stage in running)
    return {
        "stage": kind,
        "needed": len(stages),
        "cached": len(stages) - len(running),
        "to_run": len(running),
        "at_most": not all(stage.exact for stage in running),
        "seconds": seconds,
        "tokens": sum(stage.tokens or 0.0 for stage in running),
        "bytes": sum(stage.bytes or 0.0 for stage in running),
        "money": None if settings.price is None else seconds / 3600 * settings.price,
        "unknown": sum(stage.seconds is None for stage in running),
        "sources": _distinct_sources(running),
    }


def _distinct_sources(stages: list[PlannedStage]) -> list[str]:
    """Where the estimates come from, the most frequent first."""
    found = [f"{stage.basis}: {stage.source}" if stage.basis != "unknown" else stage.source for stage in stages]
    return sorted(set(found), key=lambda source: (-found.count(source), source))
