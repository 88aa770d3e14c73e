"""The style of the figures of `selbench inspect`: layout, colours for the colour-blind, axes; without global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from selbench.numbers import count_text, digits_text, percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POOL, CHOSEN = "#9a9a9a", "#0072B2"
# The palette of Okabe and Ito for the colour-blind, without its yellow, which is too pale for dots on white.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SHOWN = 30  # how many categories, of the largest, get a line or a row
DPI = 130


def titled_figure(
    title: str, name: str, width: float = 7.0, height: float = 4.4, columns: int = 1
) -> tuple[Figure, Any]:
    """A figure with its title, the name of the selection below it, and `columns` axes side by side (one: no list).

    `width` and `height` are in inches.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no backend to choose, nothing to close

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    # The title ends in an empty line, for which constrained layout leaves room; the name is written there, smaller.
    figure.suptitle(f"{title}\n", fontsize=12, fontweight="bold", linespacing=1.4)
    size = min(9.0, 9.0 * 13 * width / len(name))  # at size 9 an inch holds at least 13 characters
    figure.text(0.5, 1 - 0.42 / height, name, ha="center", va="center", fontsize=size, color="#555555")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        style_axes(ax)
    return figure, axes[0] if columns == 1 else axes


def style_axes(ax: Axes) -> None:
    """Draw a light grid behind the data, and no box around them."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)


def draw_histogram(ax: Axes, pool: np.ndarray | None, chosen: np.ndarray) -> None:
    """Draw the shares of examples per bin: the pool in grey, the selection as a line; each adds up to 100 %.

    `pool` and `chosen` are values of their examples; `pool` is None if those of the whole pool are unknown.
    """
    from matplotlib.ticker import MaxNLocator

    edges = bin_edges(chosen if pool is None else pool)
    for values, colour in ((pool, POOL), (chosen, CHOSEN)):
        if values is None:
            continue
        shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
        if values is chosen:
            ax.stairs(shares, edges, color=colour, linewidth=2, label=f"selection ({count_text(len(values))})")
        else:
            ax.stairs(shares, edges, color=colour, fill=True, alpha=0.6, label=f"pool ({count_text(len(values))})")
    percent_ticks(ax.yaxis)
    ax.set_ylabel("share of examples per bin")
    if are_logarithmic(edges):
        ax.set_xscale("log")
        count_ticks(ax.xaxis, decades=float(np.log10(edges[-1] / edges[0])))
    elif _are_whole(edges + 0.5):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)


def bin_edges(values: np.ndarray) -> np.ndarray:
    """The edges of about 40 bins at most; of growing width if the largest values are far from the median.

    The edges between whole numbers lie halfway, so that no whole number falls on an edge.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return np.array([0.0, 1.0])
    low, high, whole = float(values.min()), float(values.max()), _are_whole(values)
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    far = high > 8 * max(float(np.median(values)), 1.0) and high > 40
    if whole and low >= 0 and far:
        # A bin narrower than the one before it, from rounding, would look like a dip in the data.
        widths = np.maximum.accumulate(np.diff(np.unique(np.round(np.geomspace(max(low, 1.0), high + 1, 41)))))
        edges = max(low, 1.0) - 0.5 + np.concatenate([[0.0], np.cumsum(widths)])
        return edges[: int(np.searchsorted(edges, high)) + 1]
    if whole:  # every bin holds equally many whole numbers, or the histogram would be jagged
        step = int(np.ceil((high - low + 1) / 40))
        return np.arange(low, high + step + 1, step) - 0.5
    return np.linspace(low, high, 41)


def are_logarithmic(edges: np.ndarray) -> bool:
    """Whether the bins of `bin_edges` grow by a factor, so that a logarithmic axis suits them."""
    return bool(edges[0] > 0 and edges[-1] - edges[-2] > 2 * (edges[1] - edges[0]))


def _are_whole(values: np.ndarray) -> bool:
    return bool((values == np.round(values)).all())


def percent_ticks(axis: Any) -> None:
    """Label the ticks of an axis of shares in percent: 0.015 as `1.5 %`."""
    axis.set_major_formatter(lambda value, place: percent_text(value))


def count_ticks(axis: Any, decades: float = np.inf) -> None:
    """Label the ticks of a logarithmic axis `1,000` instead of as powers of ten; over few decades also 20, 50 and so on.

    `decades` is how many powers of ten the axis spans.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda value, place: digits_text(value))


def largest_note(shown: int, of: int) -> str:
    """A note for a title if not all categories are shown; else empty."""
    return f" (the {count_text(shown)} largest of {count_text(of)})" if shown < of else ""


def shortened(text: str, length: int = 24) -> str:
    """The text on one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
