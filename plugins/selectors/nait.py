"""NAIT: examples that change the model's activations in the same direction as examples of a target capability."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from selbench_plugins.selectors._nait_report import log_agreement, log_reliability, rows_that_differ

from selbench.api import Budget, Context, Pool, Selection, selector
from selbench.errors import UserError
from selbench.features.cut import TOLD, CutTexts, cut_examples, reads_an_end
from selbench.features.directions import Directions, Projections, Sign
from selbench.features.forward import Capture
from selbench.features.reducers import Pooling

log = logging.getLogger("selbench")

# What the feature of each target says of its directions, for the diagnostics.
PER_TARGET = ("alignment", "margin", "sign_differs", "explained")


@selector(
    "nait",
    stochastic=True,
    targeted=True,
    nested=True,
    paper="arXiv 2603.13201 (ICLR 2026)",
    fidelity="from public notes on the paper and its reviews; no official code was found",
)
class Nait:
    """Examples whose activation drift is most similar to the main direction of a target capability's drift.

    The drift of an example is how its activations differ between its tokens (`drift`). For every target capability
    and layer, the direction is the first singular vector of the drifts of up to `samples` target examples, turned
    to point along the mean of what `sign` names. The score of an example is the sum over layers of the cosine of
    its own vector (`candidate`) and that direction. docs/methods/nait.md says what is from the paper and what is ours; its
    literal reading of the notes on the paper is `centre=true score=dot positions=every`.

    Where the last token is read, target examples that the scorer cannot read to their end are left out. Examples of the
    pool keep their score, by the last token that is read, and are flagged in the diagnostics (`cut`).

    Options:
        drift: how a target example's tokens become one vector: last token minus first, or mean of all tokens minus
            first.
        candidate: how the tokens of an example of the pool become one vector: as in `drift`, or the last token alone
            (last), or the mean of all tokens (mean).
        sign: the mean that a direction is turned along: of the drifts (drift), or of the drifts without their first token
            (without_first), which is the same in every example where a BOS or a fixed template comes first.
        centre: whether the mean drift is subtracted first, so that the direction is a principal component.
        score: cosine: each projection is divided by the lengths of the vector and of the direction; or dot.
        merge: for several capabilities: equal shares of the budget for each ranking (quota), or one ranking by the sum
            of z-scores (zscore).
        layer_norm: none, or unit: each layer's projections are divided by their standard deviation over the pool.
        samples: the largest number of examples used of each target; of a larger target, a subset that depends only on
            the ids and `sample_seed`.
        sample_seed: which subset of a larger target is used. null follows the run's seed, so that the subset's luck is in
            the intervals of a board; a number is one subset for all seeds, whose directions are then projected on once.
        components: how many principal components are used; their projections are added.
        capture: which activation is read: resid = block output, or of the feed-forward part ffn_gate = act(gate(x)),
            ffn_prod = act(gate(x)) * up(x), ffn_up_abs = |up(x)|.
        layers: which blocks are read: all, middle, last, middle_third, stride:2, or a list such as 1,8,15.
        positions: which tokens are read: every (the template's too), all (prompt and response) or response.
        response: whether the scorer reads the response after the prompt, of target and pool examples alike.
    """

    drift: Literal["last_minus_first", "mean_minus_first"] = "last_minus_first"
    candidate: Literal["drift", "last", "mean"] = "drift"
    sign: Sign = "without_first"
    centre: bool = False
    score: Literal["dot", "cosine"] = "cosine"
    merge: Literal["quota", "zscore"] = "quota"
    layer_norm: Literal["none", "unit"] = "none"
    samples: int = 256
    sample_seed: int | None = None
    components: int = 1
    capture: Capture = "resid"
    layers: str = "all"
    positions: Literal["every", "all", "response"] = "all"
    response: bool = True

    def __post_init__(self) -> None:
        self.stochastic = self.sample_seed is None
        self._directions()  # building the feature checks the options before any work is done
        if self.samples < 1:
            raise UserError(f"samples={self.samples}: a direction takes at least 1 target example, better 16 or more.")

    def drawn_once(self, pool: Pool, target: Mapping[str, Pool]) -> list[str]:
        """The subsets of larger targets, where one serves all seeds."""
        cut_down = any(len(examples) > self.samples for examples in target.values())
        return [f"sample of {self.samples:,} target examples"] if cut_down and not self.stochastic else []

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        targets = dict(sorted(context.target.items()))  # by name: the order on the command line must not matter
        found = {name: context.features(self._directions(), of=self._examples_used(name, context)) for name in targets}
        directions = np.stack([feature["directions"] for feature in found.values()])
        projected = context.features(self._projections(directions))
        values = projected["projections"]
        if self.score == "cosine":
            values = cosines(values, projected["norms"], directions)
        scores, spread = layer_sums(values, unit=self.layer_norm == "unit")
        cut = cut_examples(pool, self.positions, self._pooling, self.response, context)
        log_reliability(found, scores, projected["tokens"], cut, context)
        diagnostics: dict[str, Any] = {
            "targets": list(targets),
            "layers": projected["layers"],
            "layer_spread": spread,
            **{name: np.stack([f[name] for f in found.values()]) for name in PER_TARGET},
        }
        if len(targets) == 1:
            recorded = scores[0]
            order = np.argsort(-recorded, kind="stable")
        else:
            diagnostics["direction_cosines"] = agreement = direction_cosines(directions)
            log_agreement(list(targets), agreement)
            # Scores of different targets have different scales; z-scores make them comparable.
            standard = z_scores(scores)
            recorded = standard.sum(0)
            order = np.argsort(-recorded, kind="stable")
            if self.merge == "quota":
                order, chosen_for = quota_order(scores, budget.costs)
                # The recorded score of an example is its z-score for the target that proposed it.
                recorded = np.empty(len(pool))
                recorded[order] = standard[chosen_for, order]
                diagnostics["chosen_for"] = chosen_for[: len(budget.take(order))]
        if cut.any():
            taken = cut[budget.take(order)]
            context.log(cut_selected=int(taken.sum()))
            diagnostics["cut"] = taken
        return Selection.ordered(order, budget, scores=recorded, **diagnostics)

    @property
    def _pooling(self) -> Pooling:
        return self.drift if self.candidate == "drift" else self.candidate

    def _directions(self) -> Directions:
        reading = (self.capture, self.layers, self.positions, self.drift, self.response)
        return Directions(*reading, self.components, self.sign, self.centre)

    def _projections(self, directions: np.ndarray) -> Projections:
        return Projections(directions, self.capture, self.layers, self.positions, self._pooling, self.response)

    def _examples_used(self, name: str, context: Context) -> Pool:
        """The examples of a target that its direction is made of; where ends are read, of those with an end to read.

        Raises UserError if there is none.
        """
        target = context.target[name]
        if reads_an_end(self.positions, self.drift):
            found = context.features(CutTexts(self.positions, self.response), of=target)
            cut, limit = found["cut"], int(found["limit"])
            context.log(**{"cut_targets" if len(context.target) == 1 else f"cut_targets_{name}": int(cut.sum())})
            longer = "raise scorer.max_length (model.max_length where the model is its own scorer)"
            if cut.all():
                raise UserError(
                    f"target '{name}': none of its {len(target):,} examples fits into the {limit:,} tokens that the scorer "
                    f"reads, so none has a last token to read: {longer} up to the scorer's positions, use a shorter "
                    f"template, or selector.drift=mean_minus_first."
                )
            if cut.mean() > TOLD:
                log.warning(
                    f"nait: target '{name}': {int(cut.sum()):,} of {len(target):,} examples do not fit into the {limit:,} "
                    f"tokens that the scorer reads, and are left out; {longer} to use them."
                )
            target = Pool([example for example, lost in zip(target, cut) if not lost], target.name)
        return target_subset(target, self.samples, context.seed if self.sample_seed is None else self.sample_seed)


def cosines(projections: np.ndarray, norms: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Projections (N x layers x C) divided by the lengths of the vectors (`norms`, N x layers) and of the directions.

    `directions` is C x layers x width. Where a length is 0, so is the cosine.
    """
    lengths = norms[:, :, None].astype(np.float64) * np.linalg.norm(directions, axis=2).T
    return np.divide(projections, lengths, out=np.zeros(projections.shape), where=lengths > 0)


def direction_cosines(directions: np.ndarray) -> np.ndarray:
    """How far the directions of C capabilities agree: C x C x layers cosines of `directions` (C x layers x width)."""
    lengths = np.linalg.norm(directions, axis=2, keepdims=True)
    unit = np.divide(directions, lengths, out=np.zeros(directions.shape), where=lengths > 0)
    agreement: np.ndarray = np.einsum("alw,blw->abl", unit, unit)
    return agreement


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


def z_scores(scores: np.ndarray) -> np.ndarray:
    """Each row of `scores` (C x N) with mean 0 and standard deviation 1; a row without differences becomes 0."""
    real = rows_that_differ(scores)[:, None]
    centred = scores - scores.mean(1, keepdims=True)
    return np.where(real, centred, 0) / np.where(real, scores.std(1, keepdims=True), 1)
