"""Panels about the selected examples: progress of the selection, scores, lengths, composition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from selbench.inspection.figures import (
    CHOSEN,
    POOL,
    SHOWN,
    draw_histogram,
    largest_note,
    percent_ticks,
    shortened,
    titled_figure,
)
from selbench.inspection.view import LeftOut, Panel, View

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# The diagnostics that a selector may keep with one number per pick: name -> label of the axis.
PROGRESS = {
    "coverage": "share of the occurring tags covered",
    "gains": "gain of the pick (objective's units)",
    "radius": "distance to the nearest earlier pick",
}


def coverage(view: View) -> Panel:
    """Curves of the selector's progress against the number of picks, for each diagnostic of PROGRESS that it kept."""
    import pandas as pd

    kept = _values_by_pick(view)
    if not kept:
        raise LeftOut("this selector keeps no coverage curve")
    picks = np.arange(1, len(view.order) + 1)
    table = pd.DataFrame({"selected": picks, "id": [view.ids[i] for i in view.order], **kept})
    figure, axes = titled_figure("Progress of the selection", view.name, 0.8 + 5.2 * len(kept), 4.4, len(kept))
    for ax, (name, values) in zip(np.atleast_1d(axes), kept.items()):
        ax.plot(picks, values, color=CHOSEN, linewidth=2.5, marker="o" if len(picks) < 3 else None)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("selected examples")
        ax.set_ylabel(PROGRESS[name])
        if name == "coverage":
            percent_ticks(ax.yaxis)
    return Panel(f"{', '.join(kept)} against the number of selected examples", table, figure)


def _values_by_pick(view: View) -> dict[str, np.ndarray]:
    """Name -> K numbers, for each diagnostic of PROGRESS; the first is NaN if the diagnostic begins at the second pick."""
    picks = len(view.order)
    found = {name: np.asarray(view.diagnostics[name]) for name in PROGRESS if name in view.diagnostics}
    return {
        name: np.concatenate([np.full(picks - len(values), np.nan), values])
        for name, values in found.items()
        if values.ndim == 1 and picks - len(values) in (0, 1)
    }


def scores(view: View) -> Panel:
    """Histogram of the scores of the selection, with the pool's behind them if the scores of all examples were kept."""
    import pandas as pd

    if view.scores is None:
        raise LeftOut("this selector gives no scores")
    every = view.all_scores
    figure, ax = titled_figure("Scores", view.name)
    draw_histogram(ax, every, np.asarray(view.scores))
    if every is None:
        table = pd.DataFrame({"id": [view.ids[i] for i in view.order], "score": view.scores})
        about = "histogram of the selection's scores (those of the rest are not kept)"
    else:
        table = pd.DataFrame({"id": view.ids, "score": every})
        about = "histogram of the scores, selection against pool"
    table["rank"] = view.rank[view.order] if every is None else view.rank
    ax.set_xlabel("score (selector's units)")
    return Panel(about, table, figure)


def lengths(view: View) -> Panel:
    """Histograms of prompt and response lengths, selection against pool."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "id": view.ids,
            "prompt_characters": [len(text) for text in view.prompts],
            "response_characters": [len(text) for text in view.responses],
            "response_tokens": view.tokens,
            "rank": view.rank,
        }
    )
    figure, axes = titled_figure("Lengths of prompts and responses", view.name, 10.5, 4.2, 2)
    for ax, column, label in (
        (axes[0], "prompt_characters", "prompt [characters]"),
        (axes[1], "response_tokens", "response [tokens of the model]"),
    ):
        values = table[column].to_numpy()
        draw_histogram(ax, values, values[view.order])
        ax.set_xlabel(label)
    return Panel("lengths of prompts and responses, selection against pool (rank 0: not selected)", table, figure)


def composition(view: View) -> Panel:
    """Shares of categories, and of known faults, in selection and pool."""
    import pandas as pd

    if not view.categories:
        raise LeftOut("the pool has neither categories nor hidden labels")
    everything, selected = range(len(view)), view.order.tolist()
    pool, chosen = (Counter(view.categories[i] for i in rows) for rows in (everything, selected))
    faults, kept = _fault_counts(view, everything), _fault_counts(view, selected)
    rows = [(view.category, name, count, chosen[name]) for name, count in pool.most_common()]
    rows += [("fault", name, count, kept[name]) for name, count in faults.items()]
    table = pd.DataFrame(rows, columns=["kind", "value", "pool_count", "selected_count"])
    table.insert(3, "pool_share", table["pool_count"] / len(view))
    table["selected_share"] = table["selected_count"] / len(view.order)

    about = f"by {view.category}" + (", repeats and faults" if faults else "")
    listed = pd.concat([table[table["kind"] != "fault"].head(SHOWN), table[table["kind"] == "fault"]])
    title = f"Composition {about}{largest_note(len(listed) - len(faults), len(pool))}"
    figure, ax = titled_figure(title, view.name, 7.0, 1.8 + 0.21 * max(len(listed), 6))
    _draw_dumbbells(ax, listed)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return Panel(f"composition {about}, selection against pool", table, figure)


def _fault_counts(view: View, rows: Sequence[int]) -> dict[str, int]:
    """Name of a fault -> how many of these rows have it: repeats of another of these rows, and each yes-or-no label.

    Empty if the pool has no hidden labels.
    """
    labels = [view.labels[i] for i in rows] if view.labels else []
    if not labels:
        return {}
    found = {name: sum(row[name] for row in labels) for name, value in labels[0].items() if isinstance(value, bool)}
    if "duplicate_of" not in labels[0]:
        return found
    # A copy repeats another row only if one of its group is among these rows, so groups are counted, not labels.
    groups = {row["duplicate_of"] or view.ids[i] for i, row in zip(rows, labels)}
    return {"repeats another": len(labels) - len(groups), **found}


def _draw_dumbbells(ax: Axes, part: pd.DataFrame) -> None:
    """Draw a line for each row, from the pool's share to the selection's; the faults stand apart below."""
    places = np.arange(len(part)) + part["kind"].eq("fault").to_numpy()
    ax.hlines(places, part["pool_share"], part["selected_share"], color="#bbbbbb", linewidth=2)
    # Marks are not clipped at the axes, because a share of 0 lies on the edge.
    ax.plot(part["pool_share"], places, "o", color=POOL, markersize=7, label="pool", clip_on=False)
    ax.plot(part["selected_share"], places, "s", color=CHOSEN, markersize=6, label="selection", clip_on=False)
    ax.set_yticks(places, [shortened(value) for value in part["value"]])
    ax.set_ylim(places[-1] + 0.7, -0.7)
    ax.set_xlim(0, 1.08 * max(0.01, float(part[["pool_share", "selected_share"]].max().max())))
    ax.set_xlabel("share of examples")
    percent_ticks(ax.xaxis)
