"""D4: semantic duplicates and prototypes are left out."""

from typing import Any

from selbench.api import selector
from selbench.parts.over_space import OverSpace, part_option
from selbench.parts.prototypes_rule import Prototypes


@selector(
    "d4",
    paper="Tirumala et al. 2023, arXiv 2308.12284 (NeurIPS 2023)",
    fidelity="from the paper as remembered; no official code was read",
)
class D4(OverSpace, Prototypes):
    """SemDeDup down to three quarters of the pool, then, clustered again, the examples farthest from the cluster centres.

    From the paper, as remembered: both steps, in this order, and R_dedup = 0.75.
    Ours: the budget sets how many prototypes are left out; one cluster for every 1,000 examples; a sentence encoder (the paper:
    the last token of OPT-125M, `selector.space={name: hidden, pooling: last}` with such a scorer). See docs/methods/diversity.md.

    Options:
        space: where the vectors come from, as in `parts`: encoder, tfidf, hidden, vectors_file, or tags.
    """

    space: Any = part_option("space", "encoder")
