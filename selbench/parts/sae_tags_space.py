"""The space `sae_tags`: the latents of a sparse autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

from selbench.api import Context, FeatureSpec, Pool
from selbench.parts.part import TagRows, space
from selbench.parts.sae_options import SaeOptions
from selbench.parts.tag_space import TagSpace


@space("sae_tags")
class SaeTagsSpace(SaeOptions, TagSpace):
    """Binary tags: the latents of a sparse autoencoder that are on at a token of an example (those of `sae_greedselect`).

    Options:
        dimension: for rules that choose by vectors: how many dimensions are kept of the rows of tags.
    """

    uses_scorer = True

    dimension: int = 256

    def __post_init__(self) -> None:
        SaeOptions.__post_init__(self)
        self.check_dimension()

    @property
    def is_random(self) -> bool:  # type: ignore[override]
        """Whether the autoencoder is trained with the run's seed."""
        return self.stochastic

    def needs(self, seed: int = 0) -> Sequence[FeatureSpec]:  # type: ignore[override]
        return [self.spec_of(seed if self.stochastic else 0)]

    def tags(self, pool: Pool, context: Context) -> TagRows:  # type: ignore[override]
        found = self.tags_of(context)
        return TagRows(found["indptr"], found["indices"], int(found["shape"][1]))
