"""A pool read from local files or the Hugging Face hub: ids are stable, and every unusable row is reported.

The pools `file` and `hub` are this class; suites and features that read examples use it as well.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from selbench.api import Example, LoadedPool, Pool
from selbench.data import files, forms, hub
from selbench.data.commits import at_commit, load_dataset_at_commit
from selbench.errors import NotAtHand, UserError
from selbench.stated import StatedSize

log = logging.getLogger("selbench.data")

SHOWN = 10  # at most so many unusable rows are named in a message
QUICK = 100_000_000  # bytes; files of this size are read within seconds


@dataclass(frozen=True)
class Part:
    """One file or data set that rows come from."""

    rows: Iterator[files.Row]
    file: str = ""  # its path, for messages; empty if it is the only part
    source: str = ""  # the source of rows that name none; empty if it is the only part


@dataclass(frozen=True)
class Read:
    """One example as it was read."""

    place: str  # for messages: "line 3", after the file where there are several
    example: Example
    row: Mapping[str, Any]  # the row of the file, all its columns
    file: str  # empty if there is only one
    used: frozenset[str]  # the columns that the example was made of


@dataclass
class FilePool:
    """A pool read from files (`path`) or from a data set on the Hugging Face hub (`hub`).

    Of both, `path` is read if a file of it is there, and else `hub`, which a warning says.

    Options:
        name: the name of the pool in reports.
        path: a .json, .jsonl, .csv (each also .gz) or .parquet file, or a list of such files. Each of
            several files may have columns of its own, and its name becomes the source of those rows that name none.
        hub: owner/name of a data set on the hub.
        hub_file: one file of the hub repository, read like a local one (for repositories that still come with a
            loading script).
        subset: the configuration of the data set, where it has several.
        split: the split of the data set.
        revision: the version of the data set: a branch, tag or commit. The commit that it is at is recorded.
        form: the form of the rows: auto, alpaca, prompt_completion or messages.
        columns: the name of the column for each field (instruction, input, response, system, history, messages, id, source,
            category) where it differs; null leaves an optional one unread, so `+pool.columns.id=null` makes
            ids from the content. answers.text is what the mapping in a column `answers` has under `text`, the first of
            several texts.
        drop_invalid: leave out empty and malformed rows instead of refusing the pool.
        limit: the number of rows to read, from the first.
        stated: the size of the data set as somebody states it (rows, prompt_tokens, response_tokens; of: the name on the
            hub that they are of; source), for plans where it is not at hand. Nothing that is computed depends on it.
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
    stated: StatedSize = field(default_factory=StatedSize)

    def load(self) -> LoadedPool:
        """Read the whole pool.

        Raises UserError if neither `path` nor `hub` is set, a file or data set cannot be read, the columns fit no
        form, there are no rows, two rows have one id, or (unless `drop_invalid`) a row is empty or malformed.
        """
        if self.limit is not None and self.limit < 1:
            raise UserError(f"pool.limit={self.limit}: a limit is a whole number from 1, or null for all rows.")
        try:
            return LoadedPool(Pool(_with_ids((read.place, read.example) for read in self._examples()), self.name))
        except UserError as error:
            raise type(error)(f"pool '{self.name}': {error}") from error

    def other_columns(self) -> dict[str, dict[str, Any]]:
        """Id -> the columns of its row that no field was read from, with the row's number as `pool_row` and, of several
        files, its file as `pool_file`. Rows are counted from 1 as messages count them: lines of JSONL and CSV files.

        Raises UserError as `load` does.
        """
        reads = self._examples()
        found = {}
        for read, example in zip(reads, _with_ids((read.place, read.example) for read in reads)):
            others = {str(name): value for name, value in read.row.items() if name not in read.used}
            number = int(read.place.rpartition(" ")[2])
            found[example.id] = {**others, "pool_row": number, **({"pool_file": read.file} if read.file else {})}
        return found

    @property
    def quick(self) -> bool:
        """Whether the pool can be read again within seconds and without a network."""
        try:
            found = [Path(path).expanduser() for path in self.paths]
        except UserError:
            return False
        return bool(found) and all(file.is_file() for file in found) and sum(f.stat().st_size for f in found) <= QUICK

    @property
    def paths(self) -> list[str]:
        """The files that `path` names. Raises UserError for a value that is no path, or a file that is named twice."""
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
        if paths and self.hub and not any(Path(path).expanduser().exists() for path in paths):
            log.warning("pool '%s': %s does not exist; %s is read from the hub instead.", self.name, paths[0], self.hub)
            paths = []
        if len(paths) > 1:
            labels = file_labels(paths)
            return [Part(_file_rows(path), path, label) for path, label in zip(paths, labels)]
        if paths:
            return [Part(_file_rows(paths[0]))]
        if self.hub:
            return [Part(_hub_rows(self.hub, self.hub_file, self.subset, self.split, self.revision))]
        raise UserError("nothing to read from: set pool.path=/path/to/file or pool.hub=owner/name.")

    def _examples(self) -> list[Read]:
        """Every usable row."""
        good: list[Read] = []
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
                    if not example.source:
                        example = dataclasses.replace(example, source=part.source)
                    good.append(Read(place, example, row, part.file, frozenset(columns.values())))
                except forms.Malformed as reason:
                    bad.append(f"{place}: {reason}")
        self._refuse_bad_rows(len(good), bad)
        for note, times in notes.items():
            log.info("pool '%s': in %d rows %s", self.name, times, note)
        return good

    def _columns(self, part: Part, rows: Sequence[files.Row]) -> dict[str, str]:
        """Field of an example -> column of this part. Raises UserError if it has no rows, or its columns fit no form."""
        found = dict.fromkeys(str(column) for _, row in rows if isinstance(row, Mapping) for column in row)
        try:
            if not rows:
                raise UserError("there are no rows: nothing to select from.")
            return forms.resolve_columns(found, self.form, self.columns)
        except UserError as error:
            raise UserError(f"{part.file}: {error}" if part.file else str(error)) from error

    def _refuse_bad_rows(self, good: int, bad: Sequence[str]) -> None:
        """Raises UserError for bad rows, unless `drop_invalid` leaves them out and good ones remain; then it warns."""
        if bad and not (self.drop_invalid and good):
            raise UserError(_message_of_bad_rows(bad, good + len(bad)))
        if bad:
            total = good + len(bad)
            log.warning("pool '%s': %d of %d rows dropped as invalid, first %s", self.name, len(bad), total, bad[0])


@contextmanager
def settings_named(settings: Mapping[str, str] | str, owner: str, kind: Any = None) -> Iterator[None]:
    """Errors of a pool that is read inside name the settings that it was given by, and its owner.

    Args:
        settings: option -> the setting that gives it, as "path" -> "suite.response_loss.sets.mine"; or the prefix of all.
        owner: what the message begins with instead of "pool 'NAME'".
        kind: the dataclass whose options are meant; None for FilePool.
    """

    def setting(found: re.Match[str]) -> str:
        option = found[2]
        return f"{found[1]}{settings}.{option}" if isinstance(settings, str) else settings.get(option, found[0])

    try:
        yield
    except UserError as error:
        told = re.sub(r"^pool '[^']*'", owner, str(error))
        names = "|".join(item.name for item in dataclasses.fields(kind or FilePool))
        raise type(error)(re.sub(rf"(?<![\w/.\\-])(\+?)pool\.({names})\b", setting, told)) from error


def path_label(path: Any) -> str:
    """A name for the pool in the files of `FilePool.path`: the stems of up to three, of more `first+4 more`; else empty."""
    named = [path] if isinstance(path, str | os.PathLike) else path
    if not isinstance(named, Sequence) or not all(isinstance(one, str | os.PathLike) for one in named):
        return ""
    labels = file_labels([str(one) for one in named if str(one)])
    return "+".join(labels) if len(labels) <= 3 else f"{labels[0]}+{len(labels) - 1} more"


def hub_label(hub: str | None) -> str:
    """A name for a data set of the hub: `name` of `owner/name`; empty for None."""
    return (hub or "").rstrip("/").rpartition("/")[2]


def file_labels(paths: Sequence[str]) -> list[str]:
    """A distinct name for each file: its stem, after as many of its folders as tell it from the other files.

    Files of one folder that differ only in their extension keep the extension.
    """
    places = [Path(_absolute(path)) for path in paths]
    stems = [(*place.parts[1:-1], _stem_without_gz(place.name)) for place in places]
    names = [place.parts[1:] for place in places]
    return [
        _shortest_distinct_end(stems, position) or _shortest_distinct_end(names, position) or paths[position]
        for position in range(len(paths))
    ]


def _shortest_distinct_end(tails: Sequence[tuple[str, ...]], position: int) -> str:
    """The shortest ending of a path that no other path has; empty if there is none."""
    own = tails[position]
    for depth in range(1, len(own) + 1):
        if sum(tail[-depth:] == own[-depth:] for tail in tails) == 1:
            return "/".join(own[-depth:])
    return ""


def _stem_without_gz(name: str) -> str:
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


def _message_of_bad_rows(bad: Sequence[str], rows: int) -> str:
    shown = "".join(f"\n  {reason}" for reason in bad[:SHOWN])
    more = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    advice = "" if len(bad) == rows else "\nMend them, or leave them out with pool.drop_invalid=true."
    return f"{len(bad)} of {rows} rows are empty or malformed:{shown}{more}{advice}"


def _with_ids(placed: Iterable[tuple[str, Example]]) -> Iterator[Example]:
    """The examples with their own ids, else with a hash of their content, so that no id depends on the order of rows.

    Copies get the suffixes -2, -3, ... Raises UserError if two rows have one id.
    """
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
    """The rows of a data set of the hub, at its commit; of a folder, which is read like one."""
    folder = Path(name).expanduser().is_dir()
    try:
        if file:
            from huggingface_hub import hf_hub_download

            with at_commit("dataset", name, revision) as commit:
                return files.read_rows(Path(hf_hub_download(name, file, repo_type="dataset", revision=commit)))
        from datasets import load_dataset

        if folder:
            dataset = load_dataset(name, subset, split=split)
        else:
            dataset = load_dataset_at_commit(load_dataset, name, subset, split=split, revision=revision)
    except UserError:
        raise
    except Exception as error:  # of two libraries, a network or a file system: the advice is the same
        reason = _first_line(error) if folder or hub.reachable() else hub.unreachable_text()
        raise (UserError if folder else NotAtHand)(
            f"'{name}'{f' ({file})' if file else ''} could not be loaded from the Hugging Face hub or its local "
            f"cache: {reason}; point at a local copy with pool.path=/path/to/file."
        ) from error
    return files.parquet_rows(dataset.with_format("arrow").iter(batch_size=4096))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")
