"""The panel about targets: how far what was learnt from each of several target sets agrees."""

from __future__ import annotations

import numpy as np

from selbench.inspection.figures import titled_figure
from selbench.inspection.view import LeftOut, Panel, View
from selbench.numbers import number_text


def targets(view: View) -> Panel:
    """The cosine of the directions of each two targets by layer, and the mean over layers as a matrix."""
    import pandas as pd

    names = view.diagnostics.get("targets", [])
    cosines = np.asarray(view.diagnostics.get("direction_cosines", []))
    if cosines.ndim != 3 or len(cosines) != len(names):
        raise LeftOut("this selector has no directions of several targets")
    layers = np.asarray(view.diagnostics.get("layers", np.arange(cosines.shape[2])))
    rows = [
        (one, other, int(layer), cosines[i, j, place])
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i < j
        for place, layer in enumerate(layers)
    ]
    table = pd.DataFrame(rows, columns=["target", "other", "layer", "cosine"])
    mean = cosines.mean(2)
    figure, ax = titled_figure("Agreement of the targets' directions", view.name, *(2.5 + 0.9 * len(names),) * 2)
    ax.imshow(mean, cmap="RdBu", vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(mean):
        ax.text(j, i, number_text(value, 2), ha="center", va="center", color="white" if abs(value) > 0.6 else "black")
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("cosine of the directions, mean over layers")
    return Panel("how far the directions of the targets agree, by layer", table, figure)
