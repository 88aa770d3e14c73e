"""Any space with any rule."""

from typing import Any

from selbench.api import name_and_options, selector
from selbench.parts.over_space import OverSpace, part_option


@selector("parts")
class Parts(OverSpace):
    """A space, which says what examples look like, with a rule, which chooses by that: docs/methods/parts.md lists both.

    `selbench plugins tfidf` shows the options of a part. They are given as `selector.space={name: tfidf, dimension: 64}`. A pair
    that makes no sense is refused with the valid ones.

    Options:
        space: tfidf, encoder, hidden or vectors_file (vectors); activation_tags, sae_tags or tags_file (tags); scores_file
            (scores).
        rule: k_center, facility_location, quality_diversity, threshold_walk, cluster_balanced, semantic_duplicates or prototypes
            (by vectors, those of tags too); coverage, tag_cover or round_robin (by tags); by_score (by scores, or the number
            of tags).
    """

    space: Any = part_option("space", "tfidf")
    rule: Any = part_option("rule", "k_center")

    def label(self) -> str:
        """`parts(space=tfidf,rule=k_center)`: both are named, also where they are the defaults."""
        return name_and_options(self)
