"""Panels about tags: active neurons per layer, tag frequency, tags shared by categories, principal components."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from selbench.inspection.figures import (
    CHOSEN,
    COLOURS,
    MARKERS,
    POOL,
    SHOWN,
    count_ticks,
    largest_note,
    percent_ticks,
    shortened,
    titled_figure,
)
from selbench.inspection.view import LeftOut, Panel, View
from selbench.numbers import count_text, number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def neurons(view: View) -> Panel:
    """The share of neurons per layer that an example strongly activates, pool against selection."""
    import pandas as pd

    feature = view.tag_feature
    if "layers" not in feature:
        raise LeftOut("this selector's tags are not neurons of layers")
    layers = [int(layer) for layer in feature["layers"]]
    width = view.tags.shape[1] // len(layers)
    row = np.repeat(np.arange(len(view)), np.diff(view.tags.indptr))
    cells = np.bincount(row * len(layers) + view.tags.indices // width, minlength=len(view) * len(layers))
    shares = cells.reshape(len(view), len(layers)) / width  # N x layers
    table = pd.DataFrame({"layer": layers})
    if "thresholds" in feature:
        table["threshold"] = feature["thresholds"]
    for name, rows in (("pool", shares), ("selected", shares[view.order])):
        table[f"{name}_mean"] = rows.mean(0)
        table[f"{name}_p10"], table[f"{name}_p90"] = np.percentile(rows, (10, 90), axis=0)

    figure, ax = titled_figure(
        "Strongly activated neurons per layer", view.name, width=max(6.0, 3.5 + 0.3 * len(layers))
    )
    places = np.arange(len(layers))
    styles = (("pool", -0.12, POOL, "o"), ("selected", 0.12, CHOSEN, "s"))
    for name, shift, colour, marker in styles:
        mean, low, high = (table[f"{name}_{what}"].to_numpy() for what in ("mean", "p10", "p90"))
        ax.vlines(places + shift, low, high, color=colour, linewidth=2.5, alpha=0.6)
        label = f"{'selection' if name == 'selected' else name}: mean, 10th to 90th percentile"
        ax.plot(places + shift, mean, marker, color=colour, markersize=6, label=label)
    ax.set_xticks(places, [str(layer) for layer in layers])
    ax.set_xlim(-0.8, len(layers) - 0.2)
    ax.set_ylim(
        bottom=0, top=1.08 * float(table[["pool_p90", "selected_p90", "pool_mean", "selected_mean"]].max().max())
    )
    percent_ticks(ax.yaxis)
    ax.set_xlabel("layer (block, counted from 0)")
    ax.set_ylabel(f"share of {count_text(width)} neurons on, per example")
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=9)
    bare = int((cells.reshape(len(view), -1).sum(1) == 0).sum())
    none = f"; {count_text(bare)} of {count_text(len(view))} examples activate none" if bare else ""
    return Panel(f"share of strongly activated neurons per layer, pool against selection{none}", table, figure)


def tag_frequency(view: View) -> Panel:
    """The number of examples with a tag against the tag's rank by that number, in pool and selection."""
    import pandas as pd

    pool, chosen = (np.bincount(view.tags[rows].indices, minlength=view.tags.shape[1]) for rows in (..., view.order))
    order = np.argsort(-pool, kind="stable")
    order = order[pool[order] > 0]
    if not len(order):
        raise LeftOut("no example has a tag")
    table = pd.DataFrame(
        {"rank": np.arange(1, len(order) + 1), "tag": order, "pool": pool[order], "selected": chosen[order]}
    )
    figure, ax = titled_figure("Tag frequency", view.name)
    for df, colour, name, of in ((pool, POOL, "pool", len(view)), (chosen, CHOSEN, "selection", len(view.order))):
        ranked = np.sort(df[df > 0])[::-1]
        label = f"{name} ({count_text(of)} examples): {count_text(len(ranked))} tags"
        ax.plot(np.arange(1, len(ranked) + 1), ranked, color=colour, linewidth=5 if name == "pool" else 2, label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    count_ticks(ax.xaxis)
    count_ticks(ax.yaxis)
    ax.set_xlabel("rank of the tag, the most frequent first (each set ranked by itself)")
    ax.set_ylabel("examples with the tag")
    ax.legend(frameon=False, loc="lower left")
    text = f"how often each tag occurs, the long tail: {count_text(len(order))} of {count_text(len(pool))} tags occur in the pool"
    return Panel(text, table, figure)


def shared_tags(view: View) -> Panel:
    """The mean number of tags that two different examples share, for every pair of categories."""
    import pandas as pd

    tags = view.tags
    if not view.categories:
        raise LeftOut("the pool has no categories")
    names = [name for name, _ in Counter(view.categories).most_common(SHOWN)]
    categories = np.array(view.categories)
    members = [np.flatnonzero(categories == name) for name in names]
    sizes = np.array([len(rows) for rows in members], np.float64)
    sums = np.stack([np.asarray(tags[rows].sum(axis=0), np.float64).ravel() for rows in members])
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    # An example shares all its tags with itself; those pairs are taken off the diagonal.
    shared = sums @ sums.T - np.diag([tags[rows].nnz for rows in members])
    means = np.divide(shared, pairs, out=np.full_like(shared, np.nan), where=pairs > 0)
    table = pd.DataFrame(means, index=pd.Index(names, name=view.category), columns=names).reset_index()

    size = 3.2 + 0.22 * len(names)
    title = f"Tags shared by two examples, by {view.category}{largest_note(len(names), len(set(view.categories)))}"
    figure, ax = titled_figure(title, view.name, max(6.0, size + 1.2), max(4.8, size))
    ax.grid(False)
    image = ax.imshow(means, cmap="viridis")
    labels = [f"{shortened(name)} ({int(count)})" for name, count in zip(names, sizes)]
    ax.set_xticks(range(len(names)), labels, rotation=90, fontsize=7)
    ax.set_yticks(range(len(names)), labels, fontsize=7)
    ax.set_xlabel(f"{view.category} (number of examples in the pool)")
    figure.colorbar(image, ax=ax, shrink=0.8, label="mean number of shared tags per pair of examples")
    return Panel(f"heat map of the mean number of tags that two examples share, by {view.category}", table, figure)


def tag_pca(view: View) -> Panel:
    """The examples in the plane of the tag vectors' first two principal components, by category and by selection."""
    import pandas as pd
    from sklearn.decomposition import PCA

    df = np.bincount(view.tags.indices, minlength=view.tags.shape[1])
    varying = np.flatnonzero((df > 0) & (df < len(view)))
    if min(len(varying), len(view)) < 3:
        raise LeftOut("too few tags tell examples apart")
    pca = PCA(2, svd_solver="arpack", random_state=0)
    points = pca.fit_transform(view.tags[:, varying].astype(np.float64))
    table = pd.DataFrame(
        {"id": view.ids, "pc1": points[:, 0], "pc2": points[:, 1], "selected": view.chosen.astype(int)}
    )
    if view.categories:
        table[view.category] = list(view.categories)

    panels = 2 if view.categories else 1
    figure, axes = titled_figure("Principal components of the tag vectors", view.name, 5.5 * panels + 0.5, 5.4, panels)
    axes = list(np.atleast_1d(axes))
    for ax in axes:
        ax.set_xlabel(f"component 1 ({number_text(100 * pca.explained_variance_ratio_[0], 1)} % of the variance)")
        ax.set_ylabel(f"component 2 ({number_text(100 * pca.explained_variance_ratio_[1], 1)} % of the variance)")
    size = float(np.clip(28_000 / len(view), 4, 14))
    if view.categories:
        _scatter_by_category(axes[0], points, view, size)
    for rows, colour, marker, name in (
        (~view.chosen, POOL, "o", "not selected"),
        (view.chosen, CHOSEN, "s", "selected"),
    ):
        _scatter(axes[-1], points[rows], size, colour, marker, name)
    _legend_below(axes[-1], 2)
    by = f"by {view.category} and " if view.categories else ""
    return Panel(
        f"the examples in the plane of the tag vectors' first two principal components, {by}by choice", table, figure
    )


def _scatter_by_category(ax: Axes, points: np.ndarray, view: View, size: float) -> None:
    """Draw the most frequent categories in a colour each, and the others in grey behind them."""
    categories = np.array(view.categories)
    names = [name for name, _ in Counter(view.categories).most_common(len(COLOURS))]
    others = ~np.isin(categories, names)
    if others.any():
        _scatter(ax, points[others], size, "#cccccc", "o", "others")
    for name, colour, marker in zip(names, COLOURS, MARKERS):
        _scatter(ax, points[categories == name], size, colour, marker, shortened(name, 16))
    _legend_below(ax, 3)


def _scatter(ax: Axes, points: np.ndarray, size: float, colour: str, marker: str, name: str) -> None:
    label = f"{name} ({count_text(len(points))})"
    ax.scatter(points[:, 0], points[:, 1], s=size, c=colour, marker=marker, alpha=0.65, linewidths=0, label=label)


def _legend_below(ax: Axes, columns: int) -> None:
    """Put a legend below the axes, with marks of one size however small the dots of the figure are."""
    legend = ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=columns)
    for handle in legend.legend_handles:
        handle.set(sizes=[30], alpha=1)  # type: ignore[union-attr]
