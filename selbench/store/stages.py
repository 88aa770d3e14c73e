"""The store of stages: a folder for each stage, named by its key, computed once, and whole or not there at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, get_args

from selbench.errors import UserError, unknown
from selbench.store.cost import FLOPS, Cost, device_kind, measure, total_cost
from selbench.store.files import checksums, damage, disk_error, is_disk_error, read_json, write_json, writing
from selbench.store.keys import FORMAT, digest
from selbench.store.locks import Locks

log = logging.getLogger("selbench.store")

MANIFEST = "manifest.json"  # written last: a folder that has it is whole
DROPPED = "dropped.json"  # the manifest of a stage whose other files were deleted to save space
EXECUTED = "executed.jsonl"  # one line for each computed stage

Reuse = Literal["missing", "verify", "none"]
Compute = Callable[[Path], Mapping[str, float] | None]

# What the stage being computed has asked for so far.
_asked: ContextVar[_Asked | None] = ContextVar("asked for by the stage being computed", default=None)
# Called with ("asked", kind) when a stage is asked for, ("begun", kind) if it is then computed, and ("left", kind) once it
# is there or has failed; calls for one stage enclose those for the stages that it asks for.
observer: ContextVar[Callable[[str, str], None]] = ContextVar("of stages", default=lambda event, kind: None)


@dataclass
class _Asked:
    """The stages that a stage asks for while it is computed."""

    inputs: list[str] = field(default_factory=list)  # "kind/name"
    parts: list[Cost] = field(default_factory=list)  # the costs of its parts


@dataclass(frozen=True)
class Stage:
    """One finished stage."""

    kind: str
    key: str  # the name of its folder; for a ranking with its length, `KEY-7800`
    path: Path
    cost: Cost  # as measured when it was computed
    logged: Mapping[str, float]
    reused: bool  # whether it was in the store already


class Store:
    """The stages under one folder. Several processes may share it: one computes a stage, the others wait for it.

    A stage is used again only if its files agree with their checksums. What happens otherwise depends on `reuse`:

    - "missing": a damaged stage is reported and computed again.
    - "verify": a damaged stage raises a UserError.
    - "none": as "missing", but only stages made after `since` are used (an ISO time; by default the time at which
      this object was made).

    `shared` says that several machines write to the folder's file system (see locks). `say` is called with a sentence
    while a process waits for another.
    """

    def __init__(
        self,
        root: Path,
        *,
        reuse: Reuse = "missing",
        since: str | None = None,
        shared: bool = False,
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        if reuse not in get_args(Reuse):
            raise UserError(unknown("reuse", reuse, get_args(Reuse)))
        self.root, self.reuse = root, reuse
        self.since = (since or now()) if reuse == "none" else ""
        self.locks = Locks(root / ".locks", shared=shared, say=say)

    @staticmethod
    def key(kind: str, identity: Mapping[str, Any]) -> str:
        """The hash of a kind of stage and everything that its files depend on."""
        return digest({"kind": kind, "format": FORMAT, **identity})

    def stage(self, kind: str, identity: Mapping[str, Any], compute: Compute, *, inputs: Sequence[str] = ()) -> Stage:
        """The stage with this identity, computed if the store does not have it.

        `compute` writes files into the folder it is given and returns the numbers to log. `inputs` are stages
        ("kind/name") that this one rests on, besides those that `compute` asks for. Raises UserError if the disk
        cannot be written. If `compute` raises, its error passes through, and no stage is left behind.
        """
        key = self.key(kind, identity)
        found = self._stage(kind, key, lambda: [], key, identity, compute, inputs)
        if asked := _asked.get():
            asked.inputs.append(f"{kind}/{key}")
        return found

    def part(self, kind: str, identity: Mapping[str, Any], compute: Compute) -> Stage:
        """A stage like any other, but of use only to the one that asks for it, which takes over its inputs and its cost.

        It may be discarded once that one is finished.
        """
        key = self.key(kind, identity)
        found = self._stage(kind, key, lambda: [], key, identity, compute, ())
        if asked := _asked.get():
            asked.inputs += (read_json(found.path / MANIFEST) or {}).get("inputs", ())
            asked.parts.append(found.cost)
        return found

    def ranking(self, kind: str, identity: Mapping[str, Any], compute: Compute, *, least: int, reach: int) -> Stage:
        """A stage that comes in lengths: the shortest one at least `least` long, else a new one of length `reach`.

        A longer ranking begins with the shorter one, so that any ranking that is long enough will do.
        """
        key = self.key(kind, identity)

        def enough() -> list[str]:
            lengths = sorted(int(path.name.partition("-")[2]) for path in (self.root / kind).glob(f"{key}-*"))
            return [f"{key}-{length}" for length in lengths if length >= least]

        found = self._stage(kind, key, enough, f"{key}-{max(least, reach)}", identity, compute, ())
        if asked := _asked.get():
            asked.inputs.append(f"{kind}/{found.key}")
        return found

    def _stage(
        self,
        kind: str,
        key: str,
        others: Callable[[], list[str]],
        name: str,
        identity: Mapping[str, Any],
        compute: Compute,
        inputs: Sequence[str],
    ) -> Stage:
        """The first of `others` that is in the store, else the stage `name`, computed if need be.

        `others` is called once the lock is held: another process may have just made one of them.
        """
        tell = observer.get()
        tell("asked", kind)
        try:
            with self.lock(kind, key):
                for candidate in dict.fromkeys([*others(), name]):
                    if found := self._read(kind, candidate):
                        break
                else:
                    tell("begun", kind)
                    found = self._make(kind, name, identity, compute, inputs)
        finally:
            tell("left", kind)
        return found

    def _make(
        self, kind: str, name: str, identity: Mapping[str, Any], compute: Compute, inputs: Sequence[str]
    ) -> Stage:
        path = self.root / kind / name
        with writing(path.parent):
            for left in path.parent.glob(f".{name}.*"):  # of a process that was killed: we hold the lock
                shutil.rmtree(left, ignore_errors=True)
            work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=path.parent))
        asked = _Asked()
        token = _asked.set(asked)
        try:
            with measure() as cost:
                logged = dict(compute(work) or {})
            if FLOPS in logged:  # the plugin's estimate
                cost[FLOPS] = logged.pop(FLOPS)
            cost = total_cost([cost, *asked.parts])
            manifest = {
                "kind": kind,
                "key": name,
                "identity": identity,
                "inputs": sorted({*asked.inputs, *inputs}),
                "cost": cost,
                "logged": logged,
                "created": now(),
                "device": device_kind(),
                "files": checksums(work),
            }
            write_json(work / MANIFEST, {**manifest, "seal": _seal(manifest)})
            if path.exists():  # damaged, dropped to save space, or not to be reused
                shutil.rmtree(path)
            os.replace(work, path)
            self._note(manifest)
        except OSError as error:
            if is_disk_error(error):
                raise disk_error(path, error) from error
            raise
        finally:
            _asked.reset(token)
            shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(self._checkpoint(kind, name), ignore_errors=True)
        return Stage(kind, name, path, cost, logged, reused=False)

    def _note(self, manifest: Mapping[str, Any]) -> None:
        """Add a line about a computed stage to EXECUTED, from which plans are compared with what was done."""
        about = {name: manifest[name] for name in ("kind", "key", "created")}
        line = {**about, "wall_s": manifest["cost"]["wall_s"], "host": socket.gethostname(), "pid": os.getpid()}
        with (self.root / EXECUTED).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def checkpoint(self, kind: str, identity: Mapping[str, Any], length: int | None = None) -> Path:
        """A folder that survives an interruption of the stage's computation, and is deleted once the stage is done.

        `length` is how far a ranking is to go. Only for the holder of the stage's lock, that is inside its `compute`.
        """
        name = self.key(kind, identity) + (f"-{length}" if length is not None else "")
        with writing(self._checkpoint(kind, name)) as folder:
            return folder

    def _checkpoint(self, kind: str, name: str) -> Path:
        return self.root / ".checkpoints" / f"{kind}-{name}"

    def drop(self, kind: str, name: str) -> None:
        """Delete the files of a stage but its manifest, so that `recall` still gives what it cost and logged."""
        path = self.root / kind / name
        if not (path / MANIFEST).is_file():
            return
        os.replace(path / MANIFEST, path / DROPPED)
        for entry in path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != DROPPED:
                entry.unlink()

    def discard(self, kind: str, key: str) -> None:
        """Delete a stage with its manifest, unless a process is at work on it."""
        with self.locks.hold_if_free(f"{kind}-{key}") as got:
            if got:
                shutil.rmtree(self.root / kind / key, ignore_errors=True)

    def finished(self, kind: str, key: str) -> bool:
        """Whether the store has this stage, as `stage` would use it."""
        return self._read(kind, key) is not None

    def recall(self, kind: str, name: str) -> Stage | None:
        """A stage that was computed once, whether or not its files are still there; None if it never was."""
        path = self.root / kind / name
        for file in (MANIFEST, DROPPED):
            if manifest := read_json(path / file):
                return Stage(kind, name, path, manifest["cost"], manifest["logged"], reused=True)
        return None

    def lock(self, kind: str, key: str, work: str = "") -> AbstractContextManager[None]:
        """A lock that one process holds at a time, for the block; it is freed when its holder dies."""
        return self.locks.hold(f"{kind}-{key}", work or kind)

    def _read(self, kind: str, name: str) -> Stage | None:
        path = self.root / kind / name
        manifest = read_json(path / MANIFEST)
        if not manifest and not (path / MANIFEST).is_file():
            return None
        wrong = verify(path, manifest)
        if wrong:
            what = f"the stage {path} is damaged: {wrong}."
            if self.reuse == "verify":
                raise UserError(f"{what} reuse=missing would compute it again; reuse=verify refuses to.")
            log.warning(f"{what} It is computed again.")
            return None
        assert manifest
        if manifest["created"] < self.since:
            return None
        return Stage(kind, name, path, manifest["cost"], manifest["logged"], reused=True)


def verify(path: Path, manifest: Mapping[str, Any] | None) -> str | None:
    """What is wrong with the stage at `path`, whose manifest was read as `manifest`; None if it is as it was written."""
    if not manifest or not is_sealed(manifest):
        return f"{MANIFEST} is not what was written"
    return damage(path, manifest["files"])


def is_sealed(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is as it was written, whatever has become of the stage's files."""
    return manifest.get("seal") == _seal(manifest)


def _seal(manifest: Mapping[str, Any]) -> str:
    """A hash of the manifest without its seal, which shows later whether the manifest was altered."""
    # Through JSON and back, so that the manifest read from the file has the seal of the one that was written.
    plain = json.loads(json.dumps({k: v for k, v in manifest.items() if k != "seal"}, default=str))
    return digest(plain)


def now() -> str:
    """The time in UTC, to the millisecond; such times sort as text."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
