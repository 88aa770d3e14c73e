"""Facility location: a selection to which every example of the pool is similar."""

from typing import Any

from selbench.api import selector
from selbench.optimize.facility_location import Similarity
from selbench.parts.facility_rule import FacilityLocationRule
from selbench.parts.over_space import OverSpace, part_option


@selector(
    "facility_location",
    paper="Li et al. 2024 (Superfiltering.D), arXiv 2402.00530; Wei et al. 2015 (ICML) for data subsets",
    fidelity="from the official code of Superfiltering.D, without its filter by IFD",
)
class FacilityLocation(OverSpace, FacilityLocationRule):
    """The greedy maximum of f(S) = sum over all examples of the similarity to the nearest selected one.

    From the code of Superfiltering.D: instruction, input and response are embedded by all-MiniLM-L6-v2, the similarity is
    1 / (1 + Euclidean distance), and the lazy greedy is exact.
    Ours: similarities in steps of 2^-20, so that ties are ties; in pools of more than 16,384 examples an example is similar only
    to its 256 nearest neighbours (`neighbours`). Superfiltering.D filters by IFD before. See docs/methods/diversity.md.

    Options:
        space: where the vectors come from, as in `parts`: encoder, tfidf, hidden, vectors_file, or tags.
    """

    space: Any = part_option("space", "encoder")
    similarity: Similarity = "euclidean"
