"""What a sweep would do and cost, as plain data: made by planner.py, shown by tables.py, kept beside the sweep."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# In the order in which a run goes through them.
STAGES = ("tokens", "autoencoder", "features", "selection", "leaks", "lengths", "training", "evaluation")
Status = Literal["cached", "to run"]


@dataclass(frozen=True)
class Settings:
    """What the planner may assume. `price` is money per device-hour (None: unknown); `flops_per_s` what a device
    achieves where no past stage tells (None: by whether there is a GPU); `items`, `item_tokens`: of a suite of which
    nothing is known; `chars_per_token` where the tokens were never counted."""

    price: float | None = None
    currency: str = "USD"
    flops_per_s: float | None = None
    items: int = 1000
    item_tokens: int = 128
    chars_per_token: float = 4.0


@dataclass(frozen=True)
class PlannedStage:
    """One distinct stage of the grid, however many cells share it.

    `id` is its key in the store, or a stand-in ("?...") where the key depends on a selection that is not made yet;
    then `exact` is false, and two such stages may turn out to be one. `seconds`, `tokens` (read or trained on) and
    `bytes` (added to the disk) are estimates of a stage that is to run, None where there is nothing to tell them
    from; of a cached one they are 0. `source` says where they come from.
    """

    stage: str
    id: str
    label: str
    status: Status
    exact: bool = True
    seconds: float | None = 0.0
    tokens: float | None = 0.0
    bytes: float | None = 0.0
    source: str = "cached"


@dataclass(frozen=True)
class PlannedCell:
    """One cell: its number (from 1, as the sweep counts), the key and status of its record, the ids of its stages."""

    number: int
    name: str
    key: str
    status: str  # of its record: finished, skipped, failed; or "new"
    runs: bool  # whether anything of it is to run
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Detectable:
    """The smallest difference between two arms that the planned seeds show at 80 % power, in the metric's units.

    `spread` is the standard deviation over seeds that it follows from, `source` where that comes from. `difference`
    is None with one seed.
    """

    suite: str
    model: str
    seeds: int
    spread: float
    difference: float | None
    source: str


@dataclass(frozen=True)
class Plan:
    """Cells, distinct stages, and what they add up to. `peak_bytes`: the largest weights that are written and dropped."""

    created: str
    settings: Settings
    cells: tuple[PlannedCell, ...]
    stages: tuple[PlannedStage, ...]
    detectable: tuple[Detectable, ...] = ()
    record_bytes: float = 0.0
    peak_bytes: float = 0.0
    free_bytes: float = 0.0
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    totals: tuple[dict[str, Any], ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        kinds = [(kind, [stage for stage in self.stages if stage.stage == kind]) for kind in STAGES]
        rows = [_sum(kind, stages, self.settings) for kind, stages in kinds if stages]
        whole = _sum("total", self.stages, self.settings)
        object.__setattr__(self, "totals", (*rows, {**whole, "bytes": whole["bytes"] + self.record_bytes}))

    @property
    def total(self) -> Mapping[str, Any]:
        """The last row of `totals`: needed, cached, to_run, at_most, seconds, tokens, bytes, money, unknown."""
        return self.totals[-1]

    @property
    def fits(self) -> bool:
        """Whether the disk has room for what is added, and for the weights that pass through."""
        return bool(self.total["bytes"] + self.peak_bytes <= self.free_bytes)

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.plain(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What `to_json` wrote. Raises ValueError for text that is no plan."""
        try:
            data = json.loads(text)
            del data["totals"]
            data["settings"] = Settings(**data["settings"])
            data["cells"] = tuple(PlannedCell(**{**cell, "stages": tuple(cell["stages"])}) for cell in data["cells"])
            data["stages"] = tuple(PlannedStage(**stage) for stage in data["stages"])
            data["detectable"] = tuple(Detectable(**row) for row in data["detectable"])
            return cls(**{**data, "warnings": tuple(data["warnings"]), "notes": tuple(data["notes"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a plan: {error}") from error


def _sum(kind: str, stages: Iterable[PlannedStage], settings: Settings) -> dict[str, Any]:
    """One row of totals. `unknown` counts the stages to run that have no estimate of time: they add nothing here."""
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
        "sources": _sources(running),
    }


def _sources(stages: list[PlannedStage]) -> list[str]:
    """Where the estimates come from, the most frequent first."""
    found = [stage.source for stage in stages]
    return sorted(set(found), key=lambda source: (-found.count(source), source))
