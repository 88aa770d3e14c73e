"""Repr-Filter: no example too similar to one that was taken before."""

from typing import Any

from selbench.api import selector
from selbench.parts.over_space import OverSpace, part_option
from selbench.parts.walk_rule import ThresholdWalk


@selector(
    "repr_filter",
    paper="Liu et al. 2024 (DEITA), arXiv 2312.15685 (ICLR 2024)",
    fidelity="from the official code at batch size 1, with another encoder",
)
class ReprFilter(OverSpace, ThresholdWalk):
    """Walk the examples in an order, and take each whose cosine to every one taken before is at most 0.9.

    From DEITA's code: the comparison with the taken examples only, the cosine, 0.9, and the end at the budget. There the order is
    by complexity times quality (`order=scores scores=FILE`), and the vector is a 7B model's last hidden state at the last token
    (`selector.space={name: hidden, pooling: last}`, the preset repr_filter_hidden).
    Ours: a random order, a sentence encoder, and `quantile`, because 0.9 means something else in every space: in hidden states of
    language models nearly all examples may be that similar. See docs/methods/diversity.md.

    Options:
        space: where the vectors come from, as in `parts`: encoder, tfidf, hidden, vectors_file, or tags.
    """

    space: Any = part_option("space", "encoder")
