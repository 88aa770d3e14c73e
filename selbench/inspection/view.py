"""What `selbench inspect` looks at: one selection, its pool, and the arrays that selecting has left in the store."""

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
    """What one panel gives: one line about it, the data, and the figure or page drawn from them."""

    about: str
    table: pd.DataFrame
    figure: Figure | None = None
    page: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """A pool of N examples and a selection of K from it.

    `order`: positions in the pool, best first; `scores` are aligned with it. `tokens`: N response-token counts.
    `categories`: N names, of the kind `category` ("skill" for hidden labels); empty where there are none.
    `labels`: N rows of hidden labels, or empty. `features`: the cached arrays that the selector has used.
    """

    name: str
    ids: Sequence[str]
    prompts: Sequence[str]
    responses: Sequence[str]
    tokens: np.ndarray
    order: np.ndarray
    scores: np.ndarray | None = None
    category: str = "category"
    categories: Sequence[str] = ()
    labels: Sequence[Mapping[str, Any]] = ()
    features: Sequence[Feature] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def chosen(self) -> np.ndarray:
        """N booleans."""
        mask = np.zeros(len(self), bool)
        mask[self.order] = True
        return mask

    @cached_property
    def rank(self) -> np.ndarray:
        """N integers: the place in the selection from 1, and 0 for what was not chosen."""
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
        """N x tags, ones where a tag is on. Raises LeftOut if the selector uses none."""
        from scipy.sparse import csr_matrix

        found = self.tag_feature
        ones = np.ones(len(found["indices"]), np.float32)
        shape = (len(self), int(found["shape"][1]))
        return csr_matrix((ones, np.asarray(found["indices"]), np.asarray(found["indptr"])), shape=shape)

    @cached_property
    def all_scores(self) -> np.ndarray | None:
        """N scores, if an array that was kept agrees with the scores of all that were chosen; else None."""
        if self.scores is None:
            return None
        for values in self._score_like():
            if np.allclose(values[self.order], self.scores, rtol=1e-5, equal_nan=True):
                return np.asarray(values, np.float64)
        return None

    def _score_like(self) -> Iterator[np.ndarray]:
        """Kept arrays with one number per example; also numbers of tags, and sums over layers of one direction."""
        arrays = [array for name, array in self.diagnostics.items() if isinstance(array, np.ndarray)]
        for feature in self.features:
            arrays += [np.diff(array) if name == "indptr" else array for name, array in feature.items()]
        for array in arrays:
            if array.ndim == 3 and array.shape[::2] == (len(self), 1):
                yield array.sum(axis=(1, 2), dtype=np.float64)
            elif array.shape == (len(self),) and np.issubdtype(array.dtype, np.number):
                yield array


def read_features(store: Store, stages: Mapping[str, str]) -> list[Feature]:
    """The arrays of the feature stages among `stages`, in the order of use, each once."""
    keys = dict.fromkeys(key for name, key in stages.items() if name.startswith("features/"))
    return [load_arrays(store.root / "features" / key) for key in keys]


def read_diagnostics(store: Store, stages: Mapping[str, str], picks: int) -> dict[str, Any]:
    """What the selector said about its choice: numbers and arrays.

    A ranking may go further than this selection's `picks`: what is kept per pick, or between picks, is cut there.
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
