"""Equally many examples of every k-means cluster."""

from typing import Any

from selbench.api import selector
from selbench.parts.clusters_rule import ClusterBalanced
from selbench.parts.over_space import OverSpace, part_option


@selector(
    "kmeans_balanced",
    paper="as the sampling of Cherry_LLM (Li et al. 2024, arXiv 2308.12032), which takes equally many of 100 clusters",
    fidelity="a baseline of ours after the papers; no one's code",
)
class KMeansBalanced(OverSpace, ClusterBalanced):
    """k-means clusters of the vectors take turns, one random example of each at a time.

    From Cherry_LLM's first stage: 100 clusters, and equally many examples of each. There the vectors are a language model's, and
    the examples of a cluster are spread over its perplexities.
    Ours: the cosine, a sentence encoder, random examples of a cluster (`within`), and turns, the largest cluster first, so that
    every prefix is balanced. See docs/methods/diversity.md.

    Options:
        space: where the vectors come from, as in `parts`: encoder, tfidf, hidden, vectors_file, or tags.
    """

    space: Any = part_option("space", "encoder")
