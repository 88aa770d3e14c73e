"""Published figures that an experiment stores in its configuration, to be read beside measured ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from selbench.store.records import Record

if TYPE_CHECKING:
    from rich.table import Table


def published_blocks(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The distinct `published` blocks of the records' configurations: a source, and rows of plain values."""
    found = {
        json.dumps(record.config["published"], sort_keys=True) for record in records if record.config.get("published")
    }
    return [json.loads(text) for text in sorted(found)]


def block_title(block: dict[str, Any]) -> str:
    return f"published, not measured here: {block.get('source', 'no source given')}"


def block_table(block: dict[str, Any]) -> Table:
    """The rich table of a block; its columns are all names that occur in the rows."""
    from rich.table import Table
    from rich.text import Text

    rows = block.get("rows", [])
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*[Text(str(row.get(name, ""))) for name in columns])
    return table
