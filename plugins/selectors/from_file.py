"""A published or home-made selection, or scores of a pool, as an arm."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from selbench_plugins.selectors._id_file import Listing, id_of, read_listing, require_once
from selbench_plugins.selectors._listed_examples import (
    Matched,
    by_id,
    by_number,
    by_text,
    counted,
    prompt_text,
    shown_rows,
    whole_text,
)

from selbench.api import Budget, Context, Example, NotApplicable, Pool, Selection, UserError, selector
from selbench.data.forms import expected_columns, resolve_columns
from selbench.hashing import file_hash

SCORES = ("score", "scores")  # the columns that order the rows unless an option says otherwise


@selector("from_file", nested=True, uses_scorer=False, may_stop_short=True)
class FromFile:
    """The examples that a file lists, best first: a published subset, a list of one's own, or scores of a whole pool.

    The file names examples by their ids, by row numbers or by the texts themselves. Rows that name no example of the pool
    are passed over, and a warning says how many and which; a file of which no row fits is refused. A file with fewer examples
    than the budget is taken whole (budget=all always does that), of one with more the first ones.

    Options:
        file: .jsonl, .json, .csv (each also .gz), .parquet, .txt (one id a line) or .npy: whole numbers are row numbers, floats
            are a score for each example of the pool, booleans say which are chosen.
        match: what names an example: ids, rows (numbers from 0 in the order of the pool), texts (all of an example), prompts
            (texts without the response, for files whose responses were rewritten), or auto, what the file has.
        column: the column with the ids or row numbers, if it is not `id` or `row`.
        order: auto (by a column `score` or `scores`, the highest first, and without one as in the file), file (as in the
            file), a column whose highest number comes first, or -COLUMN for the lowest.
        called: what the arm is called instead of `from_file FILE`.
    """

    file: str = ""
    match: Literal["auto", "ids", "rows", "texts", "prompts"] = "auto"
    column: str = ""
    order: str = "auto"
    called: str = ""

    def __post_init__(self) -> None:
        self._matches: dict[str, Matched] = {}  # by the pool's fingerprint
        if self.column and self.match in ("texts", "prompts"):
            raise UserError(
                f"selector.from_file.column={self.column} names the column of ids or row numbers, and match={self.match} "
                "compares texts: leave one of them out."
            )

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: scores of the examples of `check_pool`."""
        rows = [f"check-{number},{number * 7 % 40}" for number in range(40)]
        (folder / "scores.csv").write_text("\n".join(["id,score", *rows]))
        return {"file": str(folder / "scores.csv")}

    def check_pool(self, size: int, seed: int) -> Pool:
        """For `selbench check`: examples of which the file of `check_options` has scores."""
        return Pool([Example(f"check-{i}", f"Count to {i}", "one " * (1 + i)) for i in range(min(size, 40))])

    def label(self) -> str:
        """`from_file longest_1k`."""
        return self.called or " ".join(["from_file", Path(self.file).name.partition(".")[0]]).strip()

    def identity(self) -> dict[str, Any]:
        """The content of the file and how it is read; the name of the arm is left out."""
        content = file_hash(Path(self.file).expanduser()) if self.file else None
        return {"file": content, "match": self.match, "column": self.column, "order": self.order}

    def check(self) -> None:
        """Raises UserError without a file, if it cannot be read, or if the options do not fit its columns."""
        if not self.file:
            raise UserError("selector 'from_file' has no file: set selector.from_file.file=FILE.")
        _ = self._in_order

    def check_examples(self, pool: Pool) -> list[str]:
        """A sentence about the rows that name no example of the pool, and about those that fit several.

        Raises UserError if no row names one.
        """
        found, said = self._matched(pool), []
        if not found.positions:
            raise UserError(
                f"{self._who}: none of its {counted(len(self._in_order), 'row')} names an example of pool '{pool.name}', "
                f"compared by {self._kind}: {self._shown(found.unmatched)}; the pool's first is '{pool.ids[0]}'. "
                "selector.from_file.match says what to compare: ids, rows, texts or prompts."
            )
        if found.unmatched:
            said.append(
                f"{self._who}: {len(found.unmatched):,} of its {counted(len(self._in_order), 'row')} name no "
                f"example of pool '{pool.name}' and are passed over: {self._shown(found.unmatched)}."
            )
        if found.shared:
            said.append(
                f"{self._who}: {counted(found.shared, 'row')} fit several examples of pool '{pool.name}' with the same "
                "text: each row takes one, in the order of the pool."
            )
        return said

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        # Row numbers, and examples of one text, are counted in the whole pool, of which a composition may give a part.
        whole = pool.whole or pool
        found = self._matched(whole)
        if not found.positions:
            raise NotApplicable(f"no row of {self.file} names an example of pool '{pool.name}'")
        context.log(listed=len(self._in_order), unmatched=len(found.unmatched), fit_several=found.shared)
        ids = [whole.ids[position] for position in found.positions]
        if whole is not pool:
            here = set(pool.ids)
            ids = [id for id in ids if id in here]
        return Selection.ordered([pool.position(id) for id in ids], budget)

    @property
    def _who(self) -> str:
        return f"selector.from_file.file={self.file}"

    def _shown(self, rows: list[int]) -> str:
        at = self._in_order
        return shown_rows(rows, [self._listing.places[row] for row in at], [self._listing.rows[row] for row in at])

    def _matched(self, pool: Pool) -> Matched:
        """The examples of a pool that the file names, in their order."""
        key = pool.fingerprint
        if key not in self._matches:
            self._matches[key] = self._compared(pool)
        return self._matches[key]

    def _compared(self, pool: Pool) -> Matched:
        rows, order = self._listing.rows, self._in_order
        if self._listing.array is not None and len(order) and self._listing.array.dtype.kind in "fb":
            if len(rows) != len(pool):
                raise UserError(
                    f"{self._who} has {len(rows):,} {'scores' if self._kind == 'scores' else 'marks'}, and pool "
                    f"'{pool.name}' has {counted(len(pool), 'example')}: one for each is needed."
                )
            return by_number(order, pool)
        if self._kind in ("texts", "prompts"):
            said = whole_text if self._kind == "texts" else prompt_text
            return by_text([rows[row] for row in order], self._texts, pool, said)
        names = [self._names[row] for row in order]
        return by_id(names, pool) if self._kind == "ids" else by_number(names, pool)

    @cached_property
    def _listing(self) -> Listing:
        return read_listing(self.file, "selector.from_file.file")

    @cached_property
    def _kind(self) -> str:
        """What names an example: ids, rows, texts or prompts; of a .npy file also scores, one for each example."""
        listing = self._listing
        if listing.array is not None and listing.array.dtype.kind in "fb":
            if self.match not in ("auto", "rows"):
                raise UserError(f"{self._who} holds a number for each example: match={self.match} does not fit it.")
            return "scores" if listing.array.dtype.kind == "f" else "rows"
        if not listing.columns:
            plain = "rows" if listing.array is not None and listing.array.dtype.kind in "iu" else "ids"
            if self.match in ("texts", "prompts") or self.column:
                raise UserError(f"{self._who} has no columns: what names an example there is ids or rows.")
            return plain if self.match == "auto" else self.match
        if self.match == "auto" and self.column:
            return "ids"
        has = [kind for kind, column in (("ids", "id"), ("rows", "row")) if column in listing.columns]
        has += ["texts"] if self._text_columns() else []
        if self.match != "auto":
            return self.match
        if len(has) != 1:
            found = f"Found: {', '.join(listing.columns)}."
            if has:
                raise UserError(
                    f"{self._who} names examples by {' and by '.join(has)}: say which counts with "
                    f"selector.from_file.match={'|'.join(has)}. {found}"
                )
            raise UserError(
                f"{self._who} has neither a column id or row nor the columns of texts ({expected_columns('auto')}); "
                f"selector.from_file.column names another column of ids. {found}"
            )
        return has[0]

    def _text_columns(self) -> dict[str, str]:
        """Our word -> the column; empty if the columns are not those of texts."""
        try:
            return resolve_columns(self._listing.columns, "auto", {})
        except UserError:
            return {}

    @cached_property
    def _texts(self) -> dict[str, str]:
        columns = self._text_columns()
        if not columns:
            raise UserError(
                f"{self._who} has no columns of texts for match={self.match}; expected {expected_columns('auto')}. "
                f"Found: {', '.join(self._listing.columns) or '(none)'}."
            )
        return columns

    @cached_property
    def _names(self) -> list[Any]:
        """The id, or the number, in each row, None in an empty cell. Raises UserError for what is neither, and for one that
        stands twice."""
        listing = self._listing
        column = self.column or ("id" if self._kind == "ids" else "row")
        if listing.columns:
            self._require_column(column, "selector.from_file.column")
        found: list[Any] = []
        for place, row in zip(listing.places, listing.rows):
            value = row.get(column) if listing.columns else row
            if value is None or value == "":  # a row that was matched to nothing elsewhere
                found.append(None)
                continue
            try:
                found.append(id_of(value) if self._kind == "ids" else int(id_of(value)))
            except (TypeError, ValueError):
                what = "id" if self._kind == "ids" else "row number"
                raise UserError(f"{self._who}, {place}: {value!r} is no {what}.") from None
        require_once([value for value in found if value is not None], self._who, "id" if self._kind == "ids" else "row")
        return found

    @cached_property
    def _in_order(self) -> list[int]:
        """The numbers of the rows, best first."""
        listing, scores = self._listing, self._scores
        if self._kind in ("texts", "prompts"):
            _ = self._texts
        elif self._kind != "scores" and not (listing.array is not None and listing.array.dtype.kind == "b"):
            _ = self._names
        if scores is None:
            chosen = listing.array is not None and listing.array.dtype.kind == "b"
            return [row for row, value in enumerate(listing.rows) if value or not chosen]
        return [int(row) for row in np.argsort(-scores, kind="stable")]

    @cached_property
    def _scores(self) -> np.ndarray | None:
        """A number for each row, the highest first; None where the file's own order counts. Of a missing number NaN."""
        listing = self._listing
        if self._kind == "scores":
            if self.order not in ("auto", "file"):
                raise UserError(f"{self._who} has no columns: selector.from_file.order={self.order} does not fit it.")
            return np.asarray(listing.array, np.float64) if self.order == "auto" else None
        if self.order == "file":
            return None
        column = next((name for name in SCORES if name in listing.columns), "") if self.order == "auto" else self.order
        sign = -1.0 if column.startswith("-") and column not in listing.columns else 1.0
        column = column[1:] if sign < 0 else column
        if not column:
            return None
        self._require_column(column, "selector.from_file.order")
        found = []
        for place, row in zip(listing.places, listing.rows):
            value = row.get(column)
            try:
                found.append(np.nan if value is None or value == "" else sign * float(value))
            except (TypeError, ValueError):
                raise UserError(f"{self._who}, {place}: {value!r} in column {column} is no number.") from None
        return np.asarray(found)

    def _require_column(self, column: str, option: str) -> None:
        if column not in self._listing.columns:
            found = ", ".join(self._listing.columns) or "none, it is a plain list"
            raise UserError(f"{option}={column}: {self.file} has no such column. Found: {found}.")
