"""Pushing finished stages, runs and sweeps to a remote place and pulling them from it: whole, checked, resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selbench.errors import UserError
from selbench.numbers import size_text
from selbench.store.choice import Choice, Chosen, chosen_here, chosen_there
from selbench.store.files import writing
from selbench.store.locks import Locks
from selbench.store.outputs import Outputs
from selbench.store.parcels import RUN, STAGE, SWEPT, Parcel, damage_of, is_here
from selbench.store.remote import Count, Remote, blob_name

AT_ONCE = 4  # parcels under way at the same time

Say = Callable[[str], None]


@dataclass
class Transfer:
    """What is to be sent or fetched, and what has come of it."""

    todo: list[Parcel]
    bytes: int  # to be sent or fetched; a content that several parcels share counts once when it is sent
    there: int  # parcels that are at their destination already
    left_out: list[str]  # sentences
    damaged: list[str]  # sentences
    done: list[Parcel] = field(default_factory=list)


def plan_push(outputs: Outputs, remote: Remote, choice: Choice, again: bool = False) -> Transfer:
    """What a push would send. `again` sends also what is there, and so replaces what was damaged there.

    What is there but lacks a file, or has one of another size, is sent in any case.
    """
    chosen = chosen_here(outputs, choice)
    if not chosen.parcels and not chosen.damaged:
        raise UserError(
            f"{outputs.root} holds nothing finished that could be sent: name another folder with --outputs."
        )
    names = {*remote.manifest_names()} & {parcel.name for parcel in chosen.parcels}
    manifests = {} if again else remote.manifests(sorted(names))
    sizes = {} if again else remote.blob_sizes()
    todo = []
    for parcel in chosen.parcels:
        known = Parcel.read(parcel.name, manifests.get(parcel.name))
        whole = known is not None and not _lacks(known, sizes)
        if not whole or (known and known.dropped and not parcel.dropped):
            todo.append(parcel)
    blobs = {one["sha256"]: one["bytes"] for parcel in todo for one in parcel.files.values()}
    size = sum(bytes for sha256, bytes in blobs.items() if sizes.get(sha256) != bytes)
    return Transfer(todo, size, len(chosen.parcels) - len(todo), chosen.left_out, chosen.damaged)


def push(transfer: Transfer, outputs: Outputs, remote: Remote, count: Count, again: bool = False) -> None:
    """Send what was planned: stages before the runs that rest on them, and of each parcel its manifest last.

    Raises UserError if the remote place fails; what was sent is kept, and the same push goes on from there.
    """
    sizes = {} if again else remote.blob_sizes()

    def send(parcel: Parcel) -> None:
        folder = parcel.folder(outputs)
        if wrong := damage_of(parcel, folder):
            transfer.damaged.append(f"{folder}: {wrong}")
            return
        try:
            for name in parcel.ordered_files():
                about = parcel.files[name]
                if sizes.get(about["sha256"]) != about["bytes"]:
                    remote.send_blob(folder / name, about["sha256"], count)
                    sizes[about["sha256"]] = about["bytes"]
        except (FileNotFoundError, ValueError) as error:
            transfer.left_out.append(f"{folder} was changed or deleted while it was sent: {error}.")
            return
        remote.send_manifest(parcel.name, parcel.plain())
        transfer.done.append(parcel)

    for kind in (STAGE, RUN, SWEPT):
        _at_once(send, [parcel for parcel in transfer.todo if parcel.kind == kind])


def plan_pull(outputs: Outputs, remote: Remote, choice: Choice) -> Transfer:
    """What a pull would fetch. Raises UserError if there is nothing at the remote place."""
    names = remote.manifest_names()
    if not names:
        raise UserError(f"{remote.url} holds nothing that was pushed.")
    found = {name: Parcel.read(name, data) for name, data in remote.manifests(names).items()}
    parcels = {name: parcel for name, parcel in found.items() if parcel}
    chosen = chosen_there(parcels, choice, outputs)
    chosen.damaged += [f"{name}: its manifest is not what was sent" for name in found if name not in parcels]
    wanted = [parcel for parcel in chosen.parcels if not is_here(parcel, outputs)]
    todo = _whole_ones(wanted, remote, chosen)
    size = sum(parcel.bytes - _bytes_in(_arriving(parcel, outputs)) for parcel in todo)
    return Transfer(todo, max(0, size), len(chosen.parcels) - len(wanted), chosen.left_out, chosen.damaged)


def pull(transfer: Transfer, outputs: Outputs, remote: Remote, count: Count, say: Say = lambda text: None) -> None:
    """Fetch what was planned: runs first, so that `selbench store gc` spares the stages on which they rest.

    Each parcel is fetched into a folder beside its place, checked and then renamed. Raises UserError if the remote place
    fails or the disk cannot be written; what was fetched is kept, and the same pull goes on from there.
    """
    _check_free(transfer, outputs)
    locks = Locks(outputs.store / ".locks", say=say)

    def fetch(group: list[Parcel]) -> None:
        with locks.hold(_lock_name(group[0]), "downloading"):
            for parcel in group:
                # While this process waited for the lock, its holder may have made the stage.
                if is_here(parcel, outputs):
                    transfer.there += 1
                elif wrong := _fetch(parcel, outputs, remote, count):
                    transfer.damaged.append(f"{parcel.name}: {wrong}")
                else:
                    transfer.done.append(parcel)

    for kind in (RUN, STAGE, SWEPT):
        groups: dict[str, list[Parcel]] = {}  # by lock: the lengths of one ranking share theirs
        for parcel in transfer.todo:
            if parcel.kind == kind:
                groups.setdefault(_lock_name(parcel), []).append(parcel)
        _at_once(fetch, [*groups.values()])


def _fetch(parcel: Parcel, outputs: Outputs, remote: Remote, count: Count) -> str | None:
    """What is wrong with a parcel; None once it is in its place."""
    place, arriving = parcel.folder(outputs), _arriving(parcel, outputs)
    with writing(arriving):
        for name in parcel.ordered_files():
            about = parcel.files[name]
            (arriving / name).parent.mkdir(parents=True, exist_ok=True)
            if wrong := remote.fetch_blob(about["sha256"], about["bytes"], arriving / name, count):
                return f"{name} {wrong}: {blob_name(about['sha256'])}"
        for left in [
            *arriving.rglob("*")
        ]:  # of an earlier try, of which another machine has since pushed its own files
            if left.is_file() and str(left.relative_to(arriving)) not in parcel.files:
                left.unlink()
        if wrong := damage_of(parcel, arriving):
            shutil.rmtree(arriving, ignore_errors=True)
            return wrong
        if place.exists():  # damaged, unfinished, or a run that failed here
            shutil.rmtree(place)
        arriving.rename(place)
    return None


def _arriving(parcel: Parcel, outputs: Outputs) -> Path:
    """The folder for what has arrived of a parcel; the same for each try, so that the next one goes on with it."""
    place = parcel.folder(outputs)
    return place.with_name(f".{place.name}.arriving")


def _lock_name(parcel: Parcel) -> str:
    """The lock under which a stage is computed or a run carried out, in the store of the output folder."""
    kind, _, rest = parcel.name.partition("/")
    if kind == STAGE:
        stage_kind, _, name = rest.partition("/")
        return f"{stage_kind}-{name.partition('-')[0]}"
    return f"{'run' if kind == RUN else 'sweep'}-{rest}"


def _whole_ones(parcels: Iterable[Parcel], remote: Remote, chosen: Chosen) -> list[Parcel]:
    """The parcels of which every file is there in its full size; the others are noted as damaged."""
    sizes, whole = remote.blob_sizes(), []
    for parcel in parcels:
        if wrong := _lacks(parcel, sizes):
            chosen.damaged.append(f"{parcel.name}: {wrong}")
        else:
            whole.append(parcel)
    return whole


def _lacks(parcel: Parcel, sizes: dict[str, int]) -> str | None:
    """Which file of a parcel is missing or cut off at a remote place with blobs of these sizes; None if none is."""
    for name, about in parcel.files.items():
        size = sizes.get(about["sha256"])
        if size != about["bytes"]:
            blob = blob_name(about["sha256"])
            return (
                f"{name} is missing ({blob})"
                if size is None
                else f"{name} has {size} of {about['bytes']} bytes ({blob})"
            )
    return None


def _check_free(transfer: Transfer, outputs: Outputs) -> None:
    """Raises UserError if what is to be fetched does not fit on the disk."""
    with writing(outputs.root) as folder:
        free = shutil.disk_usage(folder).free
    if transfer.bytes > free:
        raise UserError(
            f"the disk of {outputs.root} has {size_text(free)} free, and {size_text(transfer.bytes)} are to be fetched: "
            f"--comparison, --sweep or --stages none take less."
        )


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _at_once(work: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Do the work for each item, several at a time. The first error ends it; what has not begun is not begun."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        list(pool.map(work, items))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
