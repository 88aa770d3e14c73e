"""NAIT: examples that drive the model's neurons the way examples of a wanted capability do."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np

from selbench.api import Budget, Context, Feature, Pool, Selection, selector
from selbench.errors import UserError
from selbench.features.directions import Directions, Projections
from selbench.features.forward import Capture

log = logging.getLogger("selbench")

SURE = 2.0  # standard errors the mean drift must lie off zero for the sign of a direction to count as determined


@selector(
    "nait",
    targeted=True,
    paper="arXiv 2603.13201 (ICLR 2026)",
    fidelity="from public notes on the paper and its reviews; no official code was found",
)
class Nait:
    """Examples whose activations drift furthest along the main direction of a target capability's drift.

    For every target capability and layer, the direction is the first principal component of the `drift` of up to
    `samples` target examples. An example's score is the sum over layers of its own reading times that direction.

    Options:
        drift: how a target example's tokens become one vector: last token minus first, or mean of all tokens minus
            first.
        candidate: the same for the examples of the pool: as the drift, or only the last token, or the mean.
        merge: several capabilities: equal shares of the budget for each ranking (quota), or the sum of z-scores
            (zscore).
        layer_norm: none, or unit: each layer's projections are divided by their standard deviation over the pool.
        samples: at most so many examples of each target, a subset that depends on their ids and `sample_seed` only.
        sample_seed: which subset of the target examples it is.
        components: how many principal components are added up.
        capture: what is read: resid = block output, or of the feed-forward part ffn_gate = act(gate(x)),
            ffn_prod = act(gate(x)) * up(x), ffn_up_abs = |up(x)|.
        layers: which are read: all, middle, last, middle_third, stride:2, or a list such as 1,8,15.
        positions: which tokens are read: every (the template's too), all (prompt and response) or response.
        response: the texts, on both sides, include the response.
    """

    drift: Literal["last_minus_first", "mean_minus_first"] = "last_minus_first"
    candidate: Literal["drift", "last", "mean"] = "drift"
    merge: Literal["quota", "zscore"] = "quota"
    layer_norm: Literal["none", "unit"] = "none"
    samples: int = 256
    sample_seed: int = 0
    components: int = 1
    capture: Capture = "resid"
    layers: str = "all"
    positions: Literal["every", "all", "response"] = "every"
    response: bool = True

    def __post_init__(self) -> None:
        self._directions()  # refuses what cannot be read before any work is done
        if self.samples < 1:
            raise UserError(f"samples={self.samples}: a direction takes at least 1 target example, better 16 or more.")

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        targets = dict(sorted(context.target.items()))  # their order on the command line means nothing
        found = {
            name: context.features(self._directions(), of=target_subset(examples, self.samples, self.sample_seed))
            for name, examples in targets.items()
        }
        projected = context.features(self._projections(found))
        scores, spread = layer_sums(projected["projections"], unit=self.layer_norm == "unit")
        log_reliability(found, scores, projected["tokens"], context)
        diagnostics = {
            "targets": list(targets),
            "layer_spread": spread,
            **{name: np.stack([f[name] for f in found.values()]) for name in ("alignment", "margin", "explained")},
        }
        if len(targets) == 1:
            return Selection.ranked(scores[0], budget, **diagnostics)
        standard = z_scores(scores)
        if self.merge == "zscore":
            return Selection.ranked(standard.sum(0), budget, **diagnostics)
        order, chosen_for = quota_order(scores, budget.costs)
        best = np.empty(len(pool))
        best[order] = standard[chosen_for, order]
        taken = len(budget.take(order))
        return Selection.ordered(order, budget, scores=best, chosen_for=chosen_for[:taken], **diagnostics)

    def _directions(self) -> Directions:
        return Directions(self.capture, self.layers, self.positions, self.drift, self.response, self.components)

    def _projections(self, found: Mapping[str, Feature]) -> Projections:
        directions = np.stack([feature["directions"] for feature in found.values()])
        pooling = self.drift if self.candidate == "drift" else self.candidate
        return Projections(directions, self.capture, self.layers, self.positions, pooling, self.response)


def target_subset(target: Pool, most: int, seed: int) -> Pool:
    """Up to `most` examples, those with the lowest hashes of (seed, id): blind to the order and to the other examples."""
    ordered = sorted(target, key=lambda example: hashlib.sha256(f"{seed}/{example.id}".encode()).digest())
    return Pool(ordered[:most], target.name)


def quota_order(scores: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All N positions, best first, and for each the capability (row of `scores`, C x N) that put it there.

    Each capability ranks the pool and goes down its ranking; whoever has spent least in `costs`, with the example in
    question, is next, and an example that stands already is passed over. So for every budget the first picks hold what
    each ranking has within its C-th part of the budget, the rest is filled in turns, and smaller budgets are prefixes.
    """
    rankings = np.argsort(-scores, axis=1, kind="stable")
    spent = np.cumsum(costs[rankings], axis=1)
    # Read by rank and then by capability, so that equal spending is settled in that order.
    turns = np.argsort(spent.T.ravel(), kind="stable")
    proposed = rankings.T.ravel()[turns]
    first = np.sort(np.unique(proposed, return_index=True)[1])
    return proposed[first], turns[first] % len(scores)


def layer_sums(projections: np.ndarray, unit: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scores (C x N), the sums over layers of `projections` (N x layers x C), and each layer's spread (C x layers).

    With `unit`, each layer is divided by its spread, the standard deviation over the pool; one that tells no two
    examples apart stays as it is, since it moves every score alike.
    """
    count, layers, capabilities = projections.shape
    scores, spread = np.zeros((capabilities, count)), np.zeros((capabilities, layers))
    for layer in range(layers):
        values = projections[:, layer].T.astype(np.float64)
        spread[:, layer] = values.std(1)
        scores += values / np.where(rows_that_differ(values), spread[:, layer], 1)[:, None] if unit else values
    return scores, spread


def rows_that_differ(rows: np.ndarray) -> np.ndarray:
    """Which rows of C x N values hold differences that float32 activations can carry."""
    return rows.std(1) > np.finfo(np.float32).eps * np.abs(rows).max(1)


def z_scores(scores: np.ndarray) -> np.ndarray:
    """Each row of `scores` (C x N) with mean 0 and standard deviation 1; a row without differences becomes 0."""
    real = rows_that_differ(scores)[:, None]
    centred = scores - scores.mean(1, keepdims=True)
    return np.where(real, centred, 0) / np.where(real, scores.std(1, keepdims=True), 1)


def log_reliability(found: Mapping[str, Feature], scores: np.ndarray, tokens: np.ndarray, context: Context) -> None:
    """Log how sure the signs are and how scores go with length; warn of directions that are not what they should be."""
    for (name, feature), row in zip(found.items(), scores):
        alignment, layers = float(feature["alignment"].min()), len(feature["layers"])
        unsure = int((feature["margin"] < SURE).any(1).sum())
        flat = int((feature["explained"] == 0).sum())
        numbers = {"sign_alignment": alignment, "sign_undetermined_layers": unsure}
        if tokens.std() > 0 and rows_that_differ(row[None])[0]:
            numbers["length_correlation"] = float(np.corrcoef(row, tokens)[0, 1])
        context.log(**{key if len(found) == 1 else f"{key}_{name}": value for key, value in numbers.items()})
        if unsure:
            log.warning(
                f"nait: target '{name}': in {unsure} of {layers} layers the sign of the direction is undetermined "
                f"(smallest |mean . v| / (|mean| |v|): {alignment:.2g}); other target examples might reverse it."
            )
        if flat:
            log.warning(
                f"nait: target '{name}': in {flat} of {layers} layers the target examples do not differ and so have no "
                f"principal component; the direction of their mean drift stands in for it."
            )
