"""InsTag's cover: the examples with most tags first, each of which adds a tag."""

from pathlib import Path
from typing import Any

from selbench.api import selector
from selbench.parts.over_space import OverSpace, part_option
from selbench.parts.tag_cover_rule import TagCover


@selector(
    "instag_cover",
    paper="Lu et al. 2024 (InsTag), arXiv 2308.07074 (ICLR 2024)",
    fidelity="the sampling from the paper as remembered, over other tags",
)
class InsTagCover(OverSpace, TagCover):
    """Complexity-first diverse sampling: walk from most tags to fewest, and take each example that adds a tag.

    From the paper, as remembered: the order, the rule, and a new walk over the rest once the pool is walked.
    Ours: the tags. InsTag's are intentions named by ChatGPT or by its tagger of 7B: give them with
    `selector.space={name: tags_file, path: FILE}`. The default are the neurons that the scorer strongly activates.
    See docs/methods/diversity.md.

    Options:
        space: where the tags come from, as in `parts`: activation_tags, sae_tags or tags_file.
    """

    space: Any = part_option("space", "activation_tags")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: the defaults do."""
        return {}
