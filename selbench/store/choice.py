"""What is to be pushed or pulled: the runs of a comparison or sweep, and which stages go with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from selbench.errors import UserError, unknown
from selbench.numbers import counted_text
from selbench.store.inventory import Entry, entries, stage_path
from selbench.store.outputs import LATEST, Outputs
from selbench.store.parcels import RUN, STAGE, SWEPT, Parcel, is_here, run_parcel, stage_parcel, sweep_parcel
from selbench.store.records import Record
from selbench.store.sweeps import Sweep

Stages = Literal["none", "needed", "all"]


@dataclass(frozen=True)
class Choice:
    """Which runs, and which stages: none, those that the runs rest on (`needed`), or all that there are."""

    comparison: str | None = None
    sweep: str | None = None  # an id, or `latest`
    stages: Stages = "needed"


@dataclass
class Chosen:
    """The parcels that a choice names, and sentences about what it names and cannot have."""

    parcels: list[Parcel] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def chosen_here(outputs: Outputs, choice: Choice) -> Chosen:
    """The finished parcels of an output folder. Raises UserError for an unknown comparison or sweep."""
    records = outputs.records.all()
    _check_comparison(choice.comparison, {record.comparison for record in records})
    swept = outputs.sweeps.named(choice.sweep) if choice.sweep else None
    members = {result["key"] for result in swept.results().values()} if swept else set()
    wanted = [
        record
        for record in records
        if choice.comparison in (None, record.comparison)
        and (not swept or record.key in members or record.sweep == swept.id)
    ]
    found, ended_well = Chosen(), [record for record in wanted if record.status != "failed"]
    if failed := len(wanted) - len(ended_well):
        found.left_out.append(f"{counted_text(failed, 'failed run')} left here: another machine may well succeed.")
    stages = entries(outputs.store, ended_well)
    _add_stages(
        found, [entry for entry in stages if choice.stages == "all" or (choice.stages == "needed" and entry.runs)]
    )
    _add_runs(found, outputs, ended_well, stages)
    sweeps = [swept] if swept else [outputs.sweeps.open(name) for name in outputs.sweeps.names()]
    _add_sweeps(found, [sweep for sweep in sweeps if sweep.started], choice.comparison)
    return found


def _add_stages(found: Chosen, stages: Iterable[Entry]) -> None:
    for entry in stages:
        if entry.state not in ("whole", "dropped"):
            continue
        if stage := stage_parcel(entry):
            found.parcels.append(stage)
        else:
            found.damaged.append(f"{entry.path}: its manifest is not what was written")


def _add_runs(found: Chosen, outputs: Outputs, records: Iterable[Record], stages: Iterable[Entry]) -> None:
    """Add the runs, each with the names of all stages that it rests on, here or elsewhere."""
    rests_on: dict[str, set[str]] = {}
    for entry in stages:
        for key in entry.runs:
            rests_on.setdefault(key, set()).add(f"{STAGE}/{entry.kind}/{entry.name}")
    for record in records:
        paths = [stage_path(outputs.store, label, name) for label, name in record.stages.items()]
        named = {f"{STAGE}/{path.parent.name}/{path.name}" for path in paths}
        found.parcels.append(run_parcel(outputs, record, tuple(sorted(named | rests_on.get(record.key, set())))))


def _add_sweeps(found: Chosen, sweeps: Iterable[Sweep], comparison: str | None) -> None:
    for sweep in sweeps:
        if comparison not in (None, sweep.about["comparison"]):
            continue
        if whole := sweep_parcel(sweep):
            found.parcels.append(whole)
        else:
            found.left_out.append(f"sweep {sweep.id} has cells that have not ended: only its finished runs go.")


def chosen_there(parcels: Mapping[str, Parcel], choice: Choice, outputs: Outputs) -> Chosen:
    """The parcels of a remote place (name -> parcel); `outputs` is the output folder that they are to be fetched into.

    Raises UserError for an unknown comparison or sweep.
    """
    runs = {name: parcel for name, parcel in parcels.items() if parcel.kind == RUN}
    sweeps = {name.partition("/")[2]: parcel for name, parcel in parcels.items() if parcel.kind == SWEPT}
    _check_comparison(choice.comparison, {parcel.comparison for parcel in runs.values()})
    wanted = [parcel for parcel in runs.values() if choice.comparison in (None, parcel.comparison)]
    swept = [parcel for parcel in sweeps.values() if choice.comparison in (None, parcel.comparison)]
    if choice.sweep:
        id = _sweep_named(choice.sweep, {*sweeps, *(parcel.sweep for parcel in runs.values() if parcel.sweep)})
        members = {f"{RUN}/{key}" for key in sweeps[id].runs} if id in sweeps else set()
        wanted = [parcel for parcel in wanted if parcel.name in members or parcel.sweep == id]
        swept = [parcel for parcel in swept if parcel.name == f"{SWEPT}/{id}"]
    found = Chosen([*wanted])
    if choice.stages != "none":
        needed = {name for parcel in wanted for name in parcel.stages}
        there = [name for name, parcel in parcels.items() if parcel.kind == STAGE]
        found.parcels += [parcels[name] for name in there if choice.stages == "all" or name in needed]
        if missing := {name for name in needed - parcels.keys() if not is_here(Parcel(name, {}), outputs)}:
            runs_hit = sum(not missing.isdisjoint(parcel.stages) for parcel in wanted)
            names = ", ".join(name.partition("/")[2] for name in sorted(missing)[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            found.left_out.append(
                f"{counted_text(len(missing), 'stage')} of {counted_text(runs_hit, 'run')} not there ({names}{more}): "
                "a run that needs one computes it."
            )
    found.parcels += swept
    return found


def _check_comparison(name: str | None, known: Iterable[str]) -> None:
    known = set(known)
    if name is not None and name not in known:
        raise UserError(unknown("comparison", name, known))


def _sweep_named(name: str, known: set[str]) -> str:
    if name == LATEST and known:
        return max(known)
    if name not in known:
        raise UserError(unknown("sweep", name, known))
    return name
