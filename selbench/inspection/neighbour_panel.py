"""A panel to read: a few selected and rejected examples, each with its nearest neighbours in the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from selbench.inspection.figures import shortened
from selbench.inspection.view import LeftOut, Panel, View
from selbench.numbers import number_text

SHOWN = 4  # how many selected and how many rejected examples
NEAREST = 3  # neighbours of each
Likeness = Callable[[int], np.ndarray]  # position in the pool -> N similarities


def neighbours(view: View) -> Panel:
    """The nearest neighbours of examples spread evenly over the selection and over the rejected examples."""
    import pandas as pd

    if len(view) < 2:
        raise LeftOut("the pool has a single example")
    likeness, space = _likeness(view)
    asked = [*_spread_positions(view.order), *_spread_positions(np.flatnonzero(~view.chosen))]
    rows = []
    for position in asked:
        values = np.array(likeness(position), np.float64)
        values[position] = 0
        near = [int(other) for other in np.argsort(-values, kind="stable")[:NEAREST] if values[other] > 0]
        about = _example_row(view, position)
        rows += [
            {**about, "neighbour": place, "similarity": values[other], **_example_row(view, other, "neighbour_")}
            for place, other in enumerate(near, start=1)
        ] or [{**about, "neighbour": 0}]  # an example with no similarity to any other
    table = pd.DataFrame(rows)
    return Panel(
        f"chosen and rejected examples with those nearest to them, by {space}",
        table,
        page=_page_text(view, table, space),
    )


def _spread_positions(positions: np.ndarray) -> list[int]:
    """Up to SHOWN of the positions, evenly spread from the first to the last."""
    places = np.unique(np.linspace(0, len(positions) - 1, min(SHOWN, len(positions))).astype(int))
    return [int(positions[place]) for place in places]


def _likeness(view: View) -> tuple[Likeness, str]:
    """The similarity measure and its name: by the features that the selector used if kept, else by the prompt's words."""
    try:
        tags = view.tags
    except LeftOut:
        return _likeness_by_vectors(view)
    sizes = np.diff(tags.indptr)

    def jaccard(position: int) -> np.ndarray:
        shared = np.asarray((tags @ tags[position].T).todense()).ravel()
        return shared / np.maximum(sizes + sizes[position] - shared, 1)

    return jaccard, "shared tags (Jaccard similarity)"


def _likeness_by_vectors(view: View) -> tuple[Likeness, str]:
    for feature in view.features:
        values = feature.get("values")
        if values is not None and values.ndim == 2 and len(values) == len(view):
            return _cosine_likeness(np.asarray(values, np.float32)), "the selector's vectors (cosine similarity)"
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        words: Any = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(view.prompts)
    except ValueError as error:  # no word in any prompt
        raise LeftOut("there is nothing to compare examples by") from error
    return lambda position: np.asarray(
        (words @ words[position].T).todense()
    ).ravel(), "words of the prompt (TF-IDF, cosine)"


def _cosine_likeness(values: np.ndarray) -> Likeness:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.where(norms > 0, norms, 1)
    return lambda position: unit @ unit[position]


def _example_row(view: View, position: int, prefix: str = "") -> dict[str, Any]:
    row = {"id": view.ids[position], "rank": int(view.rank[position])}
    if view.categories:
        row[view.category] = view.categories[position]
    row |= {"prompt": view.prompts[position], "response": view.responses[position]}
    return {f"{prefix}{name}": value for name, value in row.items()}


def _page_text(view: View, table: Any, space: str) -> str:
    """The table as Markdown: a section per example, a line per neighbour."""
    lines = [f"# Chosen and rejected examples: {view.name}", "", f"Nearest in the pool by {space}."]
    for _, group in table.groupby("id", sort=False):
        first = group.iloc[0]
        lines += ["", f"## {_rank_words(first['rank']).capitalize()}: {first['id']}", ""]
        if view.categories:
            lines += [f"{view.category}: {_cell_text(first[view.category])}", ""]
        lines += [f"> {_cell_text(first['prompt'], 600)}", ">", f"> **{_cell_text(first['response'], 600)}**", ""]
        if not first["neighbour"]:
            lines.append("Nothing in the pool has anything in common with it.")
            continue
        lines += ["| similarity | choice | example | prompt | response |", "|---:|---|---|---|---|"]
        for _, row in group.iterrows():
            told = f" ({_cell_text(row[f'neighbour_{view.category}'])})" if view.categories else ""
            choice = _rank_words(int(row["neighbour_rank"]))
            lines.append(
                f"| {number_text(row['similarity'], 2)} | {choice} | {row['neighbour_id']}{told} "
                f"| {_cell_text(row['neighbour_prompt'])} | {_cell_text(row['neighbour_response'])} |"
            )
    return "\n".join(lines) + "\n"


def _rank_words(rank: int) -> str:
    return f"chosen as number {rank}" if rank else "rejected"


def _cell_text(text: str, length: int = 160) -> str:
    """Text from data on one line, with its Markdown marks escaped."""
    line = shortened(text, length) or "(empty)"
    for mark in "\\|*_`<[#":
        line = line.replace(mark, "\\" + mark)
    return line
