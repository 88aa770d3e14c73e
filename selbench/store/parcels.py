"""Parcels: finished folders of an output folder (stages, runs, sweeps) that travel whole to a remote place and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from selbench.hashing import file_hash
from selbench.store.files import Checksum, damage, read_json
from selbench.store.inventory import Entry
from selbench.store.keys import digest
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, RECORD, SELECTION, Record
from selbench.store.stages import DROPPED, MANIFEST, is_sealed, verify
from selbench.store.sweeps import PLAN, SWEEP, Sweep

FORMAT = 1  # of a parcel's manifest at a remote place
STAGE, RUN, SWEPT = "store", "runs", "sweeps"  # how the names of stages, runs and sweeps begin
LAST = (RECORD, MANIFEST, DROPPED, SWEEP)  # a folder that has one of these counts as whole: it arrives last


@dataclass(frozen=True)
class Parcel:
    """The files of one folder and what is to be known of it without them."""

    name: str  # `store/KIND/NAME`, `runs/KEY` or `sweeps/ID`
    files: Mapping[str, Checksum]  # relative name -> size and checksum
    title: str = ""  # how a person calls it
    comparison: str = ""  # of a run or sweep
    sweep: str = ""  # of a run: the sweep that carried it out
    runs: tuple[str, ...] = ()  # of a sweep: the keys of its runs
    stages: tuple[str, ...] = ()  # names of parcels: those a run rests on, or those that a stage was made from
    dropped: bool = False  # of a stage: its files were deleted to save space, its manifest is kept

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]

    @property
    def bytes(self) -> int:
        return sum(about["bytes"] for about in self.files.values())

    def folder(self, outputs: Outputs) -> Path:
        """Where its files belong in an output folder."""
        kind, _, rest = self.name.partition("/")
        return {STAGE: outputs.store, RUN: outputs.records.root, SWEPT: outputs.sweeps.root}[kind] / rest

    def ordered_files(self) -> list[str]:
        """The names of its files, with the one that makes the folder whole at the end."""
        return sorted(self.files, key=lambda name: (name in LAST, name))

    def plain(self) -> dict[str, Any]:
        """As its manifest holds it."""
        about = {"format": FORMAT, **asdict(self), "runs": [*self.runs], "stages": [*self.stages]}
        return {**about, "seal": digest(about)}

    @classmethod
    def read(cls, name: str, data: Mapping[str, Any] | None) -> Parcel | None:
        """The parcel that a manifest describes; None if it is damaged or describes another.

        A manifest comes from elsewhere: it can name no file outside its folder.
        """
        about = {key: value for key, value in (data or {}).items() if key != "seal"}
        if not data or data.get("seal") != digest(about) or about.pop("format", None) != FORMAT:
            return None
        try:
            parcel = cls(**{**about, "runs": tuple(about["runs"]), "stages": tuple(about["stages"])})
            right = all(
                re.fullmatch("[0-9a-f]{64}", one["sha256"]) and one["bytes"] >= 0 for one in parcel.files.values()
            )
        except (TypeError, KeyError):
            return None
        named = parcel.name == name and re.fullmatch(r"(store/[\w-]+|runs|sweeps)/[\w+-][\w.+-]*", name)
        return parcel if named and right and all(map(_inside, parcel.files)) else None


def _inside(name: str) -> bool:
    """Whether a relative name stays in its folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def stage_parcel(entry: Entry) -> Parcel | None:
    """The parcel of a stage; None if its manifest is not what was written."""
    file = MANIFEST if entry.state == "whole" else DROPPED
    manifest = read_json(entry.path / file)
    if not manifest or not is_sealed(manifest):
        return None
    return Parcel(
        f"{STAGE}/{entry.kind}/{entry.name}",
        {**(manifest["files"] if file == MANIFEST else {}), file: _checksum(entry.path / file)},
        title=f"{entry.kind}/{entry.name}",
        stages=tuple(f"{STAGE}/{id}" for id in entry.inputs),
        dropped=file == DROPPED,
    )


def run_parcel(outputs: Outputs, record: Record, stages: tuple[str, ...]) -> Parcel:
    """The parcel of a run; `stages` are the names of the parcels of all stages that it rests on."""
    folder = outputs.records.folder(record.key)
    beside = {
        name: record.files.get(name) or _checksum(folder / name)
        for name in (SELECTION, ITEMS)
        if (folder / name).is_file()
    }
    return Parcel(
        f"{RUN}/{record.key}",
        {**beside, **record.files, RECORD: _checksum(folder / RECORD)},
        title=record.name,
        comparison=record.comparison,
        sweep=record.sweep or "",
        stages=stages,
    )


def sweep_parcel(sweep: Sweep) -> Parcel | None:
    """The parcel of a sweep: its cells, its plan and how each cell ended; None if not all cells have ended."""
    results = sweep.results()
    if sweep.outcome().not_started > 0 or sweep.running():
        return None
    names = [SWEEP, *([PLAN] if (sweep.folder / PLAN).is_file() else []), *(f"done/{cell}.json" for cell in results)]
    return Parcel(
        f"{SWEPT}/{sweep.id}",
        {name: _checksum(sweep.folder / name) for name in names},
        title=sweep.id,
        comparison=str(sweep.about["comparison"]),
        runs=tuple(sorted({result["key"] for result in results.values()})),
    )


def is_here(parcel: Parcel, outputs: Outputs) -> bool:
    """Whether an output folder has what a parcel holds, by seals and sizes; a run that has failed there does not count."""
    folder = parcel.folder(outputs)
    if parcel.kind == SWEPT:
        return (folder / SWEEP).is_file()
    if parcel.kind == RUN:
        record = outputs.records.read(folder.name)
        return record is not None and record.status != "failed" and _has_sizes(folder, record.files)
    manifest = read_json(folder / MANIFEST)
    whole = manifest is not None and is_sealed(manifest) and _has_sizes(folder, manifest["files"])
    return whole or (folder / DROPPED).is_file()


def damage_of(parcel: Parcel, folder: Path) -> str | None:
    """What is wrong with the files of a parcel in a folder; None if they are as they were written."""
    if wrong := damage(folder, parcel.files):
        return wrong
    return verify(folder, read_json(folder / MANIFEST)) if MANIFEST in parcel.files else None


def _has_sizes(folder: Path, files: Mapping[str, Checksum]) -> bool:
    paths = {folder / name: about["bytes"] for name, about in files.items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def _checksum(file: Path) -> Checksum:
    return {"bytes": file.stat().st_size, "sha256": file_hash(file)}
