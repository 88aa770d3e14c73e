"""A pool from a local file or the Hugging Face hub, with stable ids and every bad row accounted for."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from selbench.api import Example, LoadedPool, Pool
from selbench.data import files, forms
from selbench.data.hub import cache_only_if_unreachable
from selbench.errors import UserError

log = logging.getLogger("selbench.data")

SHOWN = 10  # bad rows spelled out in a message


@dataclass
class FilePool:
    """A pool read from a file (`path`) or from a data set on the Hugging Face hub (`hub`); `path` wins.

    `path` is a .json, .jsonl, .csv (each also .gz) or .parquet file. `hub_file` names one file of the hub
    repository, read like a local one (for repositories that still come with a loading script).
    `form` is how rows are written: auto, alpaca, prompt_completion or messages.
    `columns` says which column holds what (instruction, input, response, system, history, messages, id, source,
    category) where the names differ; null leaves an optional one unread, so `+pool.columns.id=null`
    makes ids from the content. `drop_invalid` leaves out empty and malformed rows instead of refusing the pool.
    `limit` reads no further than the first so many rows.
    """

    name: str = "pool"
    path: str | None = None
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
            rows = list(islice(self._rows(), self.limit))
            if not rows:
                raise UserError("there are no rows: nothing to select from.")
            found = dict.fromkeys(str(column) for _, row in rows if isinstance(row, Mapping) for column in row)
            columns = forms.resolve(found, self.form, self.columns)
            return LoadedPool(Pool(_with_ids(self._examples(rows, columns)), self.name))
        except UserError as error:
            raise UserError(f"pool '{self.name}': {error}") from error

    def _rows(self) -> Iterator[files.Row]:
        if self.path:
            path = Path(self.path).expanduser()
            if not path.is_file():
                problem = "is a folder, not a file" if path.is_dir() else "does not exist"
                raise UserError(
                    f"{path} {problem} (set by pool.path; a data_root in it is set by the environment variable "
                    f"SELBENCH_DATA)."
                )
            return files.read(path)
        if self.hub:
            return _hub_rows(self.hub, self.hub_file, self.subset, self.split, self.revision)
        raise UserError("nothing to read from: set pool.path=/path/to/file or pool.hub=owner/name.")

    def _examples(self, rows: Iterable[files.Row], columns: Mapping[str, str]) -> list[tuple[str, Example]]:
        good: list[tuple[str, Example]] = []
        bad: list[str] = []
        notes: Counter[str] = Counter()
        for place, row in rows:
            try:
                good.append((place, forms.example(row, columns, notes)))
            except forms.Malformed as reason:
                bad.append(f"{place}: {reason}")
        if bad and not (self.drop_invalid and good):
            raise UserError(_invalid(bad, len(good) + len(bad)))
        if bad:
            total = len(good) + len(bad)
            log.warning("pool '%s': %d of %d rows dropped as invalid, first %s", self.name, len(bad), total, bad[0])
        for note, times in notes.items():
            log.info("pool '%s': in %d rows %s", self.name, times, note)
        return good


def _invalid(bad: list[str], rows: int) -> str:
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

                return files.read(Path(hf_hub_download(name, file, repo_type="dataset", revision=revision)))
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
