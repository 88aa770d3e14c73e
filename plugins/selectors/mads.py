"""MADS: coverage of the neurons that the scorer strongly activates."""

from collections.abc import Mapping, Sequence

import numpy as np
from selbench_plugins.selectors._mads_report import log_tag_use

from selbench.api import Budget, Context, FeatureSpec, Pool, Selection, UserError, selector
from selbench.features.activations import ActivationTags, NeuronThreshold
from selbench.features.cut import cut_examples
from selbench.features.forward import Capture
from selbench.features.reducers import Pooling, Positions
from selbench.features.texts import calibration_sample
from selbench.optimize.coverage import Objective, Weights, coverage_curve, greedy_coverage, tag_weights


@selector("mads", nested=True, paper="Bai et al. 2026, arXiv 2605.30857", fidelity="re-implemented from the abstract")
class Mads:
    """Model-aware diverse selection: greedy coverage of activation tags.

    From the paper (abstract and figure captions; there is no public code): the scorer reads the pool, the strongly
    activated neurons of a layer become binary tags of each example, and a selection by coverage takes 15 % with
    Llama-3.2-3B-Instruct as scorer.
    Ours, because we could not see what the paper does, and each an option: which activation is read, over which
    tokens, above which value a neuron counts as strongly activated, which layers are used, which tags count, and the
    objective. A plain set cover covers every tag after a few hundred examples; hence the default log(1 + count).
    docs/methods/mads.md gives the reasons and what each choice changes.

    Options:
        capture: the activation that is read: ffn_gate = act(gate(x)), ffn_prod = |act(gate(x)) * up(x)|, ffn_up_abs = |up(x)|,
            resid = block output.
        positions: the tokens that are read: prompt, response, all (both), last (the last token) or every (with template and BOS).
        pooling: how they become one value: mean, max, last, last_minus_first or mean_minus_first.
        threshold: when a neuron is on: quantile (the largest share `rho` of a layer's values over examples and
            neurons), absolute (values above `tau`) or top_m (the `top_m` largest of each example and layer).
        layers: the blocks that are read: middle, all, last, middle_third, stride:2, or a list such as 1,8,15
            (blocks count from 0).
        response: whether the scorer reads the response after the prompt.
        rho: for quantile: the share of a layer's (example, neuron) values that are on.
        tau: for absolute: the value above which a neuron is on.
        top_m: for top_m: how many neurons of a layer are on in each example.
        max_df: tags that more than this share of the examples have are dropped; 1.0 keeps all.
        objective: the value of a tag that c chosen examples have: log = log(1 + c), sqrt, set_cover = min(c, 1),
            m_cover = min(c, `m`). The last two start a new round when no example adds anything.
        m: for m_cover: how many chosen examples must have a tag before it counts as covered.
        weights: the weight of a tag that df of N examples have: one, idf = log(N / df), power = df^-`gamma`.
        gamma: for power: the exponent.
    """

    capture: Capture = "ffn_gate"
    positions: Positions = "prompt"
    pooling: Pooling = "mean"
    threshold: NeuronThreshold = "quantile"
    rho: float = 0.01
    tau: float = 1.0
    top_m: int = 20
    layers: str = "middle"
    response: bool = False
    max_df: float = 0.5
    objective: Objective = "log"
    m: int = 3
    weights: Weights = "one"
    gamma: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.max_df <= 1:
            raise UserError(f"option 'max_df' of 'mads': {self.max_df} is not a share above 0 and at most 1.")
        _ = self._tags  # building the feature checks the other options before any work is done

    def drawn_once(self, pool: Pool, target: Mapping[str, Pool]) -> Sequence[str]:
        """The sample that the quantile is calibrated on; 2 to 8 % of the picks depend on it (docs/methods/mads.md)."""
        return calibration_sample(pool, self.response) if self.threshold == "quantile" else ()

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [self._tags]

    @property
    def _tags(self) -> ActivationTags:
        level = {"quantile": self.rho, "absolute": self.tau, "top_m": float(self.top_m)}[self.threshold]
        return ActivationTags(
            self.capture, self.layers, self.positions, self.pooling, self.threshold, level, self.response
        )

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        tags = context.features(self._tags)
        cut_examples(pool, self.positions, self.pooling, self.response, context)
        width = int(tags["shape"][1])
        df = np.bincount(tags["indices"], minlength=width)
        kept = df <= self.max_df * len(pool)
        indptr, indices = _kept_columns(tags["indptr"], tags["indices"], kept)
        log_tag_use(df, kept, np.diff(indptr), context)
        found = greedy_coverage(
            indptr,
            indices,
            width,
            budget.limit,
            costs=budget.costs,
            objective=self.objective,
            m=self.m,
            weights=tag_weights(df, len(pool), self.weights, self.gamma),
        )
        return Selection(
            ids=tuple(pool.ids[i] for i in found.order),
            scores=found.gains,
            diagnostics={
                "gains": found.gains,
                "coverage": coverage_curve(indptr, indices, found.order),
                "rounds": found.rounds,
                "layers": tags["layers"],
                "on_share": tags["on_share"],
                "df": _frequency_summary(df, np.bincount(indices, minlength=width)),
            },
        )


def _kept_columns(indptr: np.ndarray, indices: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The CSR rows restricted to the columns (booleans, one per tag) that are `kept`; columns keep their numbers."""
    stays = kept[indices]
    return np.concatenate([[0], np.cumsum(stays)])[indptr], indices[stays]


def _frequency_summary(df: np.ndarray, kept: np.ndarray) -> dict[str, float]:
    """The distribution of document frequencies: how many tags exist, occur and are kept, and percentiles of `df`.

    `df` holds, for each tag, the number of examples that have it, and `kept` the same after `max_df`.
    """
    seen = df[df > 0]
    shares = (0, 10, 50, 90, 100)
    quantiles = np.percentile(seen, shares) if len(seen) else np.zeros(len(shares))
    return {
        "tags": float(len(df)),
        "seen": float(len(seen)),
        "kept": float((kept > 0).sum()),
        **{f"p{share}": float(value) for share, value in zip(shares, quantiles)},
    }
