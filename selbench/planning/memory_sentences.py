"""Whether what a grid trains and reads fits into the memory of its device: said before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from selbench.api import ModelRef
from selbench.errors import UserError
from selbench.numbers import counted_text, size_text
from selbench.placement import gpu_is_here
from selbench.planning.demands import Demand, Grid
from selbench.planning.devices import device_bytes
from selbench.planning.measured import MeasuredPools
from selbench.planning.memory import TrainingMemory, reading_bytes, training_memory
from selbench.planning.needed import models_of
from selbench.run.inputs import pool_of
from selbench.run.training_lengths import context_of
from selbench.settings import Run


@dataclass(frozen=True)
class Device:
    """The device that the runs get."""

    bytes: float | None  # of its memory; None: not known
    gpu: bool
    stated: bool  # whether the setting device_memory_gb says so

    @classmethod
    def of(cls, run: Run) -> Device:
        """As the setting device_memory_gb says, else as on this machine.

        A stated device is a GPU where there is one here, and where the dtype is none of a CPU's. Raises UserError for one
        without memory.
        """
        here = gpu_is_here()
        if run.device_memory_gb is not None and not run.device_memory_gb > 0:
            raise UserError(
                f"device_memory_gb={run.device_memory_gb:g} is no memory of a device: it is above 0, or null."
            )
        if run.device_memory_gb:
            return cls(run.device_memory_gb * 1e9, here or run.model.dtype != "float32", True)
        return cls(device_bytes(here), here, False)

    @property
    def text(self) -> str:
        """`the 80.0 GB of the GPU (device_memory_gb)`."""
        what = "of the GPU" if self.gpu else "of this machine"
        return f"the {size_text(self.bytes or 0)} {'of device_memory_gb' if self.stated else what}"


class GridMemory:
    """The memory that each fine-tuning of a grid takes, each kind worked out once."""

    def __init__(self, grid: Grid, measured: MeasuredPools) -> None:
        self.grid, self.measured = grid, measured

    def of(self, demand: Demand) -> TrainingMemory | None:
        """What a fine-tuning takes; None if that is not known."""
        run = demand.run
        return training_memory(demand.plugin, run.model, self._longest_row(run), Device.of(run).gpu)

    def _longest_row(self, run: Run) -> int:
        """The tokens of the longest row: those of the pool's longest example where all are measured, at most the context."""
        context, pool = context_of(run).tokens, pool_of(run).pool
        found = self.measured.measured(pool, run.model)
        return min(context, int(found[0].tokens.max())) if found and len(found[1]) == len(pool) else context

    def sentences(self) -> Iterator[tuple[bool, str]]:
        """For each kind of fine-tuning, and each model that is read, what does not fit; else what takes most. Whether it is a
        warning, first."""
        cells: dict[str, list[int]] = {}
        most: tuple[float, str] = (0.0, "")
        for demand in self.grid.demands.values():
            if demand.stage != "training" or demand.cached:
                continue
            device, memory = Device.of(demand.run), self.of(demand)
            who = f"fine-tuning {demand.run.model.name} (trainer {demand.plugin.plugin_name})"
            if memory is None or device.bytes is None:
                continue
            if memory.fits(device.bytes):
                said = f"{_parts(memory)}, of {device.text}"
                most = max(most, (memory.total, f"memory: {who} takes about {said}."))
            else:
                cells.setdefault(_too_much(memory, device, who, demand), []).extend(demand.cells)
        for sentence, numbers in cells.items():
            yield True, f"memory: {sentence} ({counted_text(len(set(numbers)), 'cell')}: {_ranges(set(numbers))})"
        for sentence in dict.fromkeys(self._too_large_to_read()):
            yield True, sentence
        if not cells and most[1]:
            yield False, most[1]

    def _too_large_to_read(self) -> Iterator[str]:
        for cell in self.grid.cells:
            device = Device.of(cell.run)
            for setting, ref in models_of(cell.run).items() if cell.runs else ():
                size = None if ref.device_map else reading_bytes(ref)  # spread, it need not fit into one device
                if size and device.bytes and size > device.bytes:
                    yield _cannot_read(setting, ref, size, device)


def _cannot_read(setting: str, ref: ModelRef, size: float, device: Device) -> str:
    smaller = f" {setting}.dtype=bfloat16 halves it." if ref.dtype == "float32" else ""
    return f"memory: {setting} {ref.name} takes {size_text(size)} to be read ({ref.dtype}), more than {device.text}.{smaller}"


def _too_much(memory: TrainingMemory, device: Device, who: str, demand: Demand) -> str:
    rows = memory.largest_micro_batch(device.bytes or 0)
    needs = f"{who} takes about {_parts(memory)}, more than fits into {device.text}"
    if rows:
        return f"{needs}; the largest that fits is trainer.micro_batch_size={rows}, which changes the speed alone"
    ways = []
    if not getattr(demand.plugin, "gradient_checkpointing", True):
        ways.append("trainer.gradient_checkpointing=true")
    if not getattr(demand.plugin, "lora_rank", 1):
        ways.append("an adapter (trainer=lora)")
    if memory.processes == 1 and hasattr(demand.plugin, "sharding"):
        ways.append("several GPUs (trainer.processes=8 trainer.sharding=fsdp)")
    return f"{needs}; no micro-batch fits: take {' or '.join([*ways, 'a smaller model', 'a larger device'])}"


def _parts(memory: TrainingMemory) -> str:
    each = f" in each of {memory.processes} processes" if memory.processes > 1 else ""
    return (
        f"{size_text(memory.total)}{each} (weights {size_text(memory.weights)}, gradients {size_text(memory.gradients)}, "
        f"optimiser {size_text(memory.optimiser)}, activations {size_text(memory.activations)} for "
        f"{counted_text(memory.micro_batch, 'row')} of {memory.tokens:,} tokens at once)"
    )


def _ranges(numbers: set[int]) -> str:
    """`1-3, 7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in found)
