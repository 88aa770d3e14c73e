"""The data that `selbench inspect` draws: a selection, its pool, and the arrays that its selector left in the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from selbench.store.files import load_arrays
from selbench.store.records import SELECTION
from selbench.store.stages import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from scipy.sparse import csr_matrix

Feature = Mapping[str, np.ndarray]


class LeftOut(Exception):
    """Raised by a panel that does not apply; the message says why."""


@dataclass(frozen=True)
class Panel:
    """The result of one panel."""

    about: str  # one line on what it shows
    table: pd.DataFrame  # the data
    figure: Figure | None = None  # drawn from the data
    page: str = ""  # Markdown, for panels that are read


@dataclass(frozen=True, eq=False)
class View:
    """A pool of N examples and a selection of K of them."""

    name: str  # of the selection, for the figures
    ids: Sequence[str]  # N
    prompts: Sequence[str]  # N
    responses: Sequence[str]  # N
    tokens: np.ndarray  # N numbers of response tokens
    order: np.ndarray  # K positions in the pool, the best first
    scores: np.ndarray | None = None  # K, in the order of `order`
    category: str = "category"  # what the categories are: "skill" if they are hidden labels
    categories: Sequence[str] = ()  # N names, or empty
    labels: Sequence[Mapping[str, Any]] = ()  # N rows of hidden labels (planted pools), or empty
    features: Sequence[Feature] = ()  # arrays of the features that the selector used, as stored
    diagnostics: Mapping[str, Any] = field(default_factory=dict)  # numbers and arrays that the selector recorded
    notes: Sequence[str] = ()  # sentences about the selection that stand above the panels

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def chosen(self) -> np.ndarray:
        """N booleans: whether the example is selected."""
        mask = np.zeros(len(self), bool)
        mask[self.order] = True
        return mask

    @cached_property
    def rank(self) -> np.ndarray:
        """N integers: the rank in the selection from 1, and 0 for examples that are not selected."""
        ranks = np.zeros(len(self), np.int64)
        ranks[self.order] = np.arange(1, len(self.order) + 1)
        return ranks

    @cached_property
    def tag_feature(self) -> Feature:
        """The first feature that gives every example of the pool a set of tags. Raises LeftOut if there is none."""
        for feature in self.features:
            if {"indptr", "indices", "shape"} <= feature.keys() and len(feature["indptr"]) == len(self) + 1:
                return feature
        raise LeftOut("this selector uses no tags")

    @cached_property
    def tags(self) -> csr_matrix:
        """N x tags, 1 for the tags of an example. Raises LeftOut if the selector uses no tags."""
        from scipy.sparse import csr_matrix

        found = self.tag_feature
        ones = np.ones(len(found["indices"]), np.float32)
        shape = (len(self), int(found["shape"][1]))
        return csr_matrix((ones, np.asarray(found["indices"]), np.asarray(found["indptr"])), shape=shape)

    @cached_property
    def all_scores(self) -> np.ndarray | None:
        """The scores of all N examples: a stored array that agrees with `scores` on the selection; None without one."""
        if self.scores is None:
            return None
        for values in self._score_like():
            if np.allclose(values[self.order], self.scores, rtol=1e-5, equal_nan=True):
                return np.asarray(values, np.float64)
        return None

    def _score_like(self) -> Iterator[np.ndarray]:
        """The stored arrays that may hold scores: one number per example, or one per example and layer, then summed.

        Of tags, their number per example.
        """
        arrays = [array for name, array in self.diagnostics.items() if isinstance(array, np.ndarray)]
        for feature in self.features:
            arrays += [np.diff(array) if name == "indptr" else array for name, array in feature.items()]
        for array in arrays:
            if array.ndim == 3 and array.shape[::2] == (len(self), 1):
                yield array.sum(axis=(1, 2), dtype=np.float64)
            elif array.shape == (len(self),) and np.issubdtype(array.dtype, np.number):
                yield array


def read_features(store: Store, stages: Mapping[str, str]) -> list[Feature]:
    """The arrays of the feature stages among `stages` (name -> key), in the order of use, each once."""
    keys = dict.fromkeys(key for name, key in stages.items() if name.startswith("features/"))
    return [load_arrays(store.root / "features" / key) for key in keys]


def read_diagnostics(store: Store, stages: Mapping[str, str], picks: int) -> dict[str, Any]:
    """The diagnostics that the selector recorded: name -> number or array.

    The stored ranking may be longer than this selection of `picks` examples, for a larger budget; arrays with a value
    per pick, or per pick but the first, are cut to the selection.
    """
    folder = store.root / "selection" / stages["selection"]
    kept = json.loads((folder / SELECTION).read_text())
    found: dict[str, Any] = dict(kept["diagnostics"])
    beyond = len(kept["ids"]) - picks
    if (folder / "diagnostics.npz").is_file():
        with np.load(folder / "diagnostics.npz") as arrays:
            for name in arrays.files:
                per_pick = arrays[name].ndim and len(kept["ids"]) - len(arrays[name]) in (0, 1)
                found[name] = arrays[name][: len(arrays[name]) - beyond] if per_pick else arrays[name]
    return found
