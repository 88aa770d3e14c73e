"""The selection as a table that MLflow shows: id, rank, score, source and category if known, beginnings of the texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.store.files import read_json
from selbench.store.records import SELECTION, Record
from selbench.tracking.previews import pool_of, preview

if TYPE_CHECKING:
    import pandas as pd

ROWS = 5000  # rows of the JSON table, which MLflow loads into the browser as a whole
TABLE, WHOLE = "selected.json", "selected.parquet"  # the first ROWS, and, if there are more, all rows


def write_tables(record: Record, folder: Path, to: Path) -> list[Path]:
    """Write the selection in `folder`, a record's folder, as tables into the folder `to`; gives their paths.

    selected.json is in MLflow's table format; a selection of more than ROWS examples is also written to
    selected.parquet, with all rows. A run that selected nothing has no tables. Texts are left out if the pool cannot be
    read quickly.
    """
    chosen = read_json(folder / SELECTION)
    if not chosen or not chosen["ids"]:
        return []
    table = _selection_table(record, chosen["ids"], chosen.get("scores"))
    written = [to / TABLE]
    table.head(ROWS).to_json(to / TABLE, orient="split", index=False)
    if len(table) > ROWS:
        table.to_parquet(to / WHOLE, index=False)
        written.append(to / WHOLE)
    return written


def _selection_table(record: Record, ids: list[str], scores: list[float] | None) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {"id": ids, "rank": range(1, len(ids) + 1), "score": scores or [None] * len(ids)}
    pool = pool_of(record)
    if pool:
        examples = [pool[pool.position(id)] for id in ids]
        known = {name: [getattr(example, name) for example in examples] for name in ("source", "category")}
        columns |= {name: values for name, values in known.items() if any(values)}
        columns["prompt"] = [preview(example.prompt) for example in examples]
        columns["response"] = [preview(example.response) for example in examples]
    return pd.DataFrame(columns)
