"""An output folder with finished stages, runs and a sweep, made without any model, in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow
from selbench.store.files import checksums, write_json
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, SELECTION, Record, Status
from selbench.store.stages import Store


def make_stage(outputs: Path, number: int, size: int, *, kind: str = "features") -> str:
    """A stage with one file of `size` bytes, which depends on `number` alone; gives its name."""

    def compute(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "values.bin").write_bytes(np.random.default_rng(number).bytes(size))

    return Store(Outputs(outputs).store).stage(kind, {"number": number}, compute).key


def make_run(
    outputs: Path,
    number: int,
    *,
    size: int = 1000,
    comparison: str = "mine",
    sweep: str | None = None,
    status: Status = "finished",
) -> Record:
    """A run with a stage of its own, `size` bytes large."""
    axes = {"selector": "random", "budget": 0.5, "budget_unit": "examples", "model": "toy", "seed": number, "pool": "p"}
    axes |= {"pool_key": "0" * 20, "suites": ["quiz"], "suite_keys": {"quiz": "abc"}}
    row = {"suite": "quiz", "task": "sums", "metric": "accuracy", "value": 0.5 + number / 100, "higher_is_better": True}
    records = Outputs(outputs).records
    key = f"{number:020d}"
    folder = records.folder(key)
    folder.mkdir(parents=True)
    write_json(folder / SELECTION, {"ids": [f"{number}", "b"], "scores": None})
    (folder / ITEMS).write_bytes(b"items of " + str(number).encode())
    record = Record(
        key,
        status,
        Axes.read(axes),
        {},
        comparison=comparison,
        sweep=sweep,
        created=f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}.000+00:00",
        stages={"features/0": make_stage(outputs, number, size)},
        scores=[ScoreRow(**row, items=2, headline=True)],
        files=checksums(folder),
    )
    records.write(record)
    return record


def make_sweep(outputs: Path, id: str, records: list[Record], *, ended: int | None = None) -> None:
    """A sweep with these runs as cells, of which the first `ended` (default: all) have ended."""
    sweep = Outputs(outputs).sweeps.open(id)
    sweep.start("selbench -m ...", records[0].comparison, [{} for _ in records])
    for cell, record in enumerate(records[:ended]):
        sweep.done(cell, record.key, record.status, reused=False)


def contents(outputs: Path) -> dict[str, bytes]:
    """Relative name -> content of every file of stages, runs and sweeps that a transfer carries."""
    found = {}
    for file in sorted(outputs.rglob("*")):
        name = str(file.relative_to(outputs))
        if file.is_file() and ".locks" not in name and not name.endswith("executed.jsonl"):
            found[name] = file.read_bytes()
    return found
