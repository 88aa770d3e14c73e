"""SemDeDup: semantic duplicates are left out."""

from typing import Any

from selbench.api import selector
from selbench.parts.duplicates_rule import SemanticDuplicates
from selbench.parts.over_space import OverSpace, part_option


@selector(
    "semdedup",
    paper="Abbas et al. 2023, arXiv 2303.09540",
    fidelity="from the official code, with another encoder and number of clusters",
)
class SemDeDup(OverSpace, SemanticDuplicates):
    """Examples are left out that resemble an earlier one of their k-means cluster.

    From the code: spherical k-means; a cluster's examples are walked from the farthest from its centre to the nearest; an example
    is left out if its largest cosine to an earlier one, left out or not, is above 1 - eps.
    Ours: without `eps` the budget is filled with the examples that are least similar to an earlier one, which is what the eps
    leaves that leaves as many; one cluster for every 1,000 examples (the paper: 50,000 clusters for LAION); a sentence encoder
    (the paper: CLIP, OPT). Examples that are left in equally are taken in the order of the pool. See docs/methods/diversity.md.

    Options:
        space: where the vectors come from, as in `parts`: encoder, tfidf, hidden, vectors_file, or tags.
    """

    space: Any = part_option("space", "encoder")
