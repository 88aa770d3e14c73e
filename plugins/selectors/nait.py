"""NAIT: examples that change the model's activations in the same direction as examples of a target capability."""

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

# The sign of a direction counts as determined if the mean drift along it is at least this many standard errors from 0.
SURE = 2.0


@selector(
    "nait",
    targeted=True,
    nested=True,
    paper="arXiv 2603.13201 (ICLR 2026)",
    fidelity="from public notes on the paper and its reviews; no official code was found",
)
class Nait:
    """Examples whose activation drift points most strongly along the main direction of a target capability's drift.

    The drift of an example is how its activations differ between its tokens (`drift`). For every target capability
    and layer, the direction is the first principal component of the drifts of up to `samples` target examples, turned
    so that their mean drift lies along it. The score of an example is the sum over layers of the dot product of its
    own vector (`candidate`) and that direction. docs/methods/nait.md says what is from the paper and what is ours.

    Options:
        drift: how a target example's tokens become one vector: last token minus first, or mean of all tokens minus
            first.
        candidate: how the tokens of an example of the pool become one vector: as in `drift`, or the last token alone
            (last), or the mean of all tokens (mean).
        merge: for several capabilities: equal shares of the budget for each ranking (quota), or one ranking by the sum
            of z-scores (zscore).
        layer_norm: none, or unit: each layer's projections are divided by their standard deviation over the pool.
        samples: the largest number of examples used of each target; of a larger target, a subset that depends only on
            the ids and `sample_seed`.
        sample_seed: which subset of a larger target is used.
        components: how many principal components are used; their projections are added.
        capture: which activation is read: resid = block output, or of the feed-forward part ffn_gate = act(gate(x)),
            ffn_prod = act(gate(x)) * up(x), ffn_up_abs = |up(x)|.
        layers: which blocks are read: all, middle, last, middle_third, stride:2, or a list such as 1,8,15.
        positions: which tokens are read: every (the template's too), all (prompt and response) or response.
        response: whether the scorer reads the response after the prompt, of target and pool examples alike.
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
        self._directions()  # building the feature checks the options before any work is done
        if self.samples < 1:
            raise UserError(f"samples={self.samples}: a direction takes at least 1 target example, better 16 or more.")

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        targets = dict(sorted(context.target.items()))  # by name: the order on the command line must not matter
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
        # Scores of different targets have different scales; z-scores make them comparable.
        standard = z_scores(scores)
        if self.merge == "zscore":
            return Selection.ranked(standard.sum(0), budget, **diagnostics)
        order, chosen_for = quota_order(scores, budget.costs)
        # The recorded score of an example is its z-score for the target that proposed it.
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
    """The `most` examples with the lowest hashes of (seed, id), all of a smaller target.

    Whether an example is in depends neither on the order of the target nor on what the other examples say.
    """
    ordered = sorted(target, key=lambda example: hashlib.sha256(f"{seed}/{example.id}".encode()).digest())
    return Pool(ordered[:most], target.name)


def quota_order(scores: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All N positions, best first, and for each the capability (row of `scores`, C x N) that proposed it.

    Every capability goes down its own ranking of the pool. The next proposal is that of the capability whose examples
    cost least in total (`costs`: N integers), the proposed one included; an example proposed before is passed over.
    So the selection for a budget holds the top of every ranking up to a C-th part of that budget, the capabilities
    take turns in filling what remains, and the selection for a smaller budget is a prefix.
    """
    rankings = np.argsort(-scores, axis=1, kind="stable")
    spent = np.cumsum(costs[rankings], axis=1)
    # The transpose lists proposals by rank and then by capability; the stable sort keeps that order at equal spending.
    turns = np.argsort(spent.T.ravel(), kind="stable")
    proposed = rankings.T.ravel()[turns]
    first = np.sort(np.unique(proposed, return_index=True)[1])
    return proposed[first], turns[first] % len(scores)


def layer_sums(projections: np.ndarray, unit: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scores (C x N), the sums over layers of `projections` (N x layers x C), and each layer's spread (C x layers).

    The spread is the standard deviation over the pool. With `unit`, each layer is divided by its spread; a layer with
    the same value for every example stays as it is, because it changes no ranking.
    """
    count, layers, capabilities = projections.shape
    scores, spread = np.zeros((capabilities, count)), np.zeros((capabilities, layers))
    for layer in range(layers):
        values = projections[:, layer].T.astype(np.float64)
        spread[:, layer] = values.std(1)
        scores += values / np.where(rows_that_differ(values), spread[:, layer], 1)[:, None] if unit else values
    return scores, spread


def rows_that_differ(rows: np.ndarray) -> np.ndarray:
    """C booleans: whether the values of a row (C x N) differ by more than the rounding error of float32 activations."""
    return rows.std(1) > np.finfo(np.float32).eps * np.abs(rows).max(1)


def z_scores(scores: np.ndarray) -> np.ndarray:
    """Each row of `scores` (C x N) with mean 0 and standard deviation 1; a row without differences becomes 0."""
    real = rows_that_differ(scores)[:, None]
    centred = scores - scores.mean(1, keepdims=True)
    return np.where(real, centred, 0) / np.where(real, scores.std(1, keepdims=True), 1)


def log_reliability(found: Mapping[str, Feature], scores: np.ndarray, tokens: np.ndarray, context: Context) -> None:
    """Log how well the data determine the directions' signs, and how scores correlate with length.

    Warns of targets for which a sign is undetermined or a layer has no principal component.

    Args:
        found: capability -> feature of `Directions`.
        scores: C x N, in the order of `found`.
        tokens: N integers, the tokens of each example.
    """
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
