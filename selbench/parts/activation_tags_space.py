"""The space `activation_tags`: the neurons that the scorer strongly activates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selbench.api import Context, FeatureSpec, Pool
from selbench.errors import UserError
from selbench.features.activations import ActivationTags, NeuronThreshold
from selbench.features.cut import cut_examples
from selbench.features.forward import Capture
from selbench.features.reducers import Pooling, Positions
from selbench.features.texts import calibration_sample
from selbench.parts.part import TagRows, space
from selbench.parts.tag_space import TagSpace, frequent_left_out


@space("activation_tags")
class ActivationTagsSpace(TagSpace):
    """Binary tags: the neurons of the scorer that an example strongly activates (those of `mads`).

    Options:
        capture: the activation that is read: ffn_gate, ffn_prod, ffn_up_abs or resid (docs/methods/mads.md).
        positions: the tokens that are read: prompt, response, all (both), last (the last token) or every (with template and BOS).
        pooling: how they become one value: mean, max, last, last_minus_first, mean_minus_first or position_weighted.
        threshold: when a neuron is on: quantile (the largest share `rho` of a layer's values), absolute (values above
            `tau`) or top_m (the `top_m` largest of each example and layer).
        layers: the blocks that are read: middle, all, last, middle_third, stride:2, or a list such as 1,8,15.
        response: whether the scorer reads the response after the prompt.
        rho: for quantile: the share of a layer's (example, neuron) values that are on.
        tau: for absolute: the value above which a neuron is on.
        top_m: for top_m: how many neurons of a layer are on in each example.
        max_df: tags that more than this share of the examples have are dropped; 1.0 keeps all.
        dimension: for rules that choose by vectors: how many dimensions are kept of the rows of tags.
    """

    uses_scorer = True

    capture: Capture = "ffn_gate"
    positions: Positions = "prompt"
    pooling: Pooling = "mean"
    threshold: NeuronThreshold = "quantile"
    layers: str = "middle"
    response: bool = False
    rho: float = 0.01
    tau: float = 1.0
    top_m: int = 20
    max_df: float = 0.5
    dimension: int = 256

    def __post_init__(self) -> None:
        self.check_dimension()
        if not 0 < self.max_df <= 1:
            raise UserError(
                f"option 'max_df' of space 'activation_tags': {self.max_df} is no share above 0 and at most 1."
            )
        _ = self._spec

    @property
    def _spec(self) -> ActivationTags:
        level = {"quantile": self.rho, "absolute": self.tau, "top_m": float(self.top_m)}[self.threshold]
        return ActivationTags(
            self.capture, self.layers, self.positions, self.pooling, self.threshold, level, self.response
        )

    def drawn_once(self, pool: Pool, target: Mapping[str, Pool]) -> Sequence[str]:
        return calibration_sample(pool, self.response) if self.threshold == "quantile" else ()

    def needs(self, seed: int) -> Sequence[FeatureSpec]:
        return [self._spec]

    def tags(self, pool: Pool, context: Context) -> TagRows:
        found = context.features(self._spec)
        cut_examples(pool, self.positions, self.pooling, self.response, context)
        return frequent_left_out(found["indptr"], found["indices"], int(found["shape"][1]), self.max_df)
