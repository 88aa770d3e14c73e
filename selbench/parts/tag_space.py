"""Tags as a space: also the number of tags as scores, and the rows of the tag matrix as vectors."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from selbench.api import Context, Pool
from selbench.errors import UserError
from selbench.features.tfidf import truncated
from selbench.parts.part import Space, TagRows, View


class TagSpace(Space):
    """A space whose views follow from tags. A subclass has the option `dimension`, and checks it with `check_dimension`."""

    gives: ClassVar[tuple[View, ...]] = ("tags", "vectors", "scores")
    dimension: int

    @abstractmethod
    def tags(self, pool: Pool, context: Context) -> TagRows:
        """The tags of the N examples."""

    def vectors(self, pool: Pool, context: Context) -> np.ndarray:
        """N x d: the rows of the matrix scaled to length 1, reduced by an exact SVD if more tags than `dimension` occur.

        The cosine of two unreduced rows is the number of shared tags over the geometric mean of their numbers of tags.
        """
        from scipy.sparse import csr_matrix

        found = self.tags(pool, context)
        used, columns = np.unique(found.indices, return_inverse=True)
        sizes = np.diff(found.indptr)
        if not len(used):
            return np.zeros((len(sizes), 1), np.float32)
        lengths = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
        rows = csr_matrix((lengths, columns, found.indptr), (len(sizes), len(used)))
        dense: np.ndarray = rows.toarray() if len(used) <= self.dimension else truncated(rows, self.dimension)
        return dense.astype(np.float32)

    def scores(self, pool: Pool, context: Context) -> np.ndarray:
        """N numbers: how many tags each example has."""
        return np.diff(self.tags(pool, context).indptr).astype(np.float64)

    def check_dimension(self) -> None:
        """Raises UserError for a dimension below 1."""
        if self.dimension < 1:
            raise UserError(f"dimension={self.dimension} is no dimension: it must be at least 1.")


def frequent_left_out(indptr: np.ndarray, indices: np.ndarray, tags: int, max_df: float) -> TagRows:
    """The tags without those that more than the share `max_df` of the examples have; columns keep their numbers."""
    df = np.bincount(indices, minlength=tags)
    stays = (df <= max_df * (len(indptr) - 1))[indices]
    return TagRows(np.concatenate([[0], np.cumsum(stays)])[indptr], indices[stays], tags)
