"""A pool from local files or the Hugging Face hub, with stable ids and every bad row accounted for.

The reading behind the pools `file` and `hub`; suites and features that read examples use it as well.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from selbench.api import Example, LoadedPool, Pool
from selbench.data import files, forms
from selbench.data.hub import cache_only_if_unreachable
from selbench.errors import UserError

log = logging.getLogger("selbench.data")

SHOWN = 10  # bad rows spelled out in a message
QUICK = 100_000_000  # bytes that are read in a moment


@dataclass(frozen=True)
class Part:
    """One file or data set that rows come from; `file` and `source` are empty where it is the only one."""

    rows: Iterator[files.Row]
    file: str = ""
    source: str = ""  # of rows that name none


@dataclass
class FilePool:
    """A pool read from files (`path`) or from a data set on the Hugging Face hub (`hub`); `path` wins.

    Options:
        name: what reports call it.
        path: a .json, .jsonl, .csv (each also .gz) or .parquet file, or a list of such files. Of several files each
            may have columns of its own, and the name of the file becomes the source of rows that name none.
        hub: owner/name of a data set on the hub.
        hub_file: one file of the hub repository, read like a local one (for repositories that still come with a
            loading script).
        subset: which configuration of the data set, where it has several.
        split: which split of the data set.
        revision: which version of the data set: a branch, tag or commit.
        form: how rows are written: auto, alpaca, prompt_completion or messages.
        columns: which column holds what (instruction, input, response, system, history, messages, id, source,
            category) where the names differ; null leaves an optional one unread, so `+pool.columns.id=null` makes
            ids from the content.
        drop_invalid: leave out empty and malformed rows instead of refusing the pool.
        limit: read no further than the first so many rows.
    """

    name: str = "pool"
    path: Any = None  # a file or a list of files
    hub: str | None = None
    hub_file: str | None = None
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    form: str = "auto"
    columns: dict[str, str | None] = field(default_factory=dict)
    drop_invalid: bool = False
    limit: int | None = None

    def load(self) -> LoadedPool:
        """Read it all.

        Raises UserError: nothing to read from, a file or data set that is not there or not readable, columns of
        no form, an empty pool, an id given twice, or (unless `drop_invalid`) rows that are not examples.
        """
        if self.limit is not None and self.limit < 1:
            raise UserError(f"pool.limit={self.limit}: a limit is a whole number from 1, or null for all rows.")
        try:
            return LoadedPool(Pool(_with_ids(self._examples()), self.name))
        except UserError as error:
            raise UserError(f"pool '{self.name}': {error}") from error

    @property
    def quick(self) -> bool:
        """Whether it can be read once more in a moment and without a network."""
        try:
            found = [Path(path).expanduser() for path in self.paths]
        except UserError:
            return False
        return bool(found) and all(file.is_file() for file in found) and sum(f.stat().st_size for f in found) <= QUICK

    @property
    def paths(self) -> list[str]:
        """The files that `path` names. Raises UserError for something else in it, or a file that is named twice."""
        if not self.path:
            return []
        named = list(self.path) if isinstance(self.path, list | tuple) else [self.path]
        for path in named:
            if not isinstance(path, str | os.PathLike | int | float) or path == "":
                raise UserError(f"pool.path: {path!r} is no file; name one, or several as pool.path=[a.jsonl,b.jsonl].")
        places = [_absolute(str(path)) for path in named]
        for position, place in enumerate(places):
            if place in places[:position]:
                raise UserError(f"pool.path names {place} more than once.")
        return [str(path) for path in named]

    def _parts(self) -> list[Part]:
        paths = self.paths
        if len(paths) > 1:
            labels = file_labels(paths)
            return [Part(_file_rows(path), path, label) for path, label in zip(paths, labels)]
        if paths:
            return [Part(_file_rows(paths[0]))]
        if self.hub:
            return [Part(_hub_rows(self.hub, self.hub_file, self.subset, self.split, self.revision))]
        raise UserError("nothing to read from: set pool.path=/path/to/file or pool.hub=owner/name.")

    def _examples(self) -> list[tuple[str, Example]]:
        """Each with the place it was read from."""
        good: list[tuple[str, Example]] = []
        bad: list[str] = []
        notes: Counter[str] = Counter()
        left = self.limit
        for part in self._parts():
            if left == 0:
                break
            rows = list(islice(part.rows, left))
            left = None if left is None else left - len(rows)
            columns = self._columns(part, rows)
            for place, row in rows:
                place = f"{part.file} {place}" if part.file else place
                try:
                    example = forms.example_of_row(row, columns, notes)
                    good.append(
                        (place, example if example.source else dataclasses.replace(example, source=part.source))
                    )
                except forms.Malformed as reason:
                    bad.append(f"{place}: {reason}")
        self._judge(len(good), bad)
        for note, times in notes.items():
            log.info("pool '%s': in %d rows %s", self.name, times, note)
        return good

    def _columns(self, part: Part, rows: Sequence[files.Row]) -> dict[str, str]:
        """Our word -> the column of this part. Raises UserError if there are no rows, or columns of no form."""
        found = dict.fromkeys(str(column) for _, row in rows if isinstance(row, Mapping) for column in row)
        try:
            if not rows:
                raise UserError("there are no rows: nothing to select from.")
            return forms.resolve_columns(found, self.form, self.columns)
        except UserError as error:
            raise UserError(f"{part.file}: {error}" if part.file else str(error)) from error

    def _judge(self, good: int, bad: Sequence[str]) -> None:
        """Raises UserError if rows are no examples and may not, or cannot, be left out."""
        if bad and not (self.drop_invalid and good):
            raise UserError(_invalid(bad, good + len(bad)))
        if bad:
            total = good + len(bad)
            log.warning("pool '%s': %d of %d rows dropped as invalid, first %s", self.name, len(bad), total, bad[0])


def file_labels(paths: Sequence[str]) -> list[str]:
    """A name per file: its stem, with as many of its folders before it as tell it from the other files.

    Files of one folder that differ in their extension only keep it.
    """
    places = [Path(_absolute(path)) for path in paths]
    stems = [(*place.parts[1:-1], _stem(place.name)) for place in places]
    names = [place.parts[1:] for place in places]
    return [
        _shortest(stems, position) or _shortest(names, position) or paths[position] for position in range(len(paths))
    ]


def _shortest(tails: Sequence[tuple[str, ...]], position: int) -> str:
    """The shortest end of a path that no other one has; empty if there is none."""
    own = tails[position]
    for depth in range(1, len(own) + 1):
        if sum(tail[-depth:] == own[-depth:] for tail in tails) == 1:
            return "/".join(own[-depth:])
    return ""


def _stem(name: str) -> str:
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


def _absolute(path: str) -> str:
    return os.path.abspath(Path(path).expanduser())


def _file_rows(name: str) -> Iterator[files.Row]:
    path = Path(name).expanduser()
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise UserError(
            f"{path} {problem} (set by pool.path; a data_root in it is set by the environment variable SELBENCH_DATA)."
        )
    return files.read_rows(path)


def _invalid(bad: Sequence[str], rows: int) -> str:
    shown = "".join(f"\n  {reason}" for reason in bad[:SHOWN])
    more = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    advice = "" if len(bad) == rows else "\nMend them, or leave them out with pool.drop_invalid=true."
    return f"{len(bad)} of {rows} rows are empty or malformed:{shown}{more}{advice}"


def _with_ids(placed: Iterable[tuple[str, Example]]) -> Iterator[Example]:
    """The data's own ids, else a hash of the content: neither depends on the other rows or their order."""
    places: dict[str, str] = {}
    copies: Counter[str] = Counter()
    for place, example in placed:
        if example.id:
            if example.id in places:
                raise UserError(
                    f"the id '{example.id}' is given to {places[example.id]} and to {place}, and ids must be distinct; "
                    f"+pool.columns.id=null makes ids from the content instead."
                )
            places[example.id] = place
            yield example
        else:
            stem = example.content_hash[:16]
            copies[stem] += 1
            yield dataclasses.replace(example, id=stem if copies[stem] == 1 else f"{stem}-{copies[stem]}")


def _hub_rows(name: str, file: str | None, subset: str | None, split: str, revision: str | None) -> Iterator[files.Row]:
    with cache_only_if_unreachable() as online:
        try:
            if file:
                from huggingface_hub import hf_hub_download

                return files.read_rows(Path(hf_hub_download(name, file, repo_type="dataset", revision=revision)))
            from datasets import load_dataset

            dataset = load_dataset(name, subset, split=split, revision=revision)
        except Exception as error:  # two libraries, a network and a file system: all end in the same advice
            reason = _first_line(error) if online else "the hub cannot be reached from here"
            raise UserError(
                f"'{name}'{f' ({file})' if file else ''} could not be loaded from the Hugging Face hub or its local "
                f"cache: {reason}; point at a local copy with pool.path=/path/to/file."
            ) from error
    return files.parquet_rows(dataset.with_format("arrow").iter(batch_size=4096))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")
