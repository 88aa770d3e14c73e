"""Uniform random selection: the arm that every method has to beat; on request among responses of certain lengths."""

from dataclasses import field
from typing import Any, Literal, Optional

import numpy as np

from selbench.api import Budget, Context, FeatureSpec, Pool, Selection, UserError, name_and_options, selector
from selbench.features.lengths import ResponseLength


@selector(
    "random", stochastic=True, nested=True, uses_scorer=False, paper="Ivison et al. 2025, arXiv 2503.01807 (balanced)"
)
class Random:
    """Uniform selection without replacement.

    From the README of RDS+ (Ivison et al. 2025): `balanced` gives every source the same number of examples; what a
    source is too small for goes to the others in equal parts.
    Ours: `balanced=category`, and the order: groups take turns, so that every prefix is balanced as well. `match=length`:
    a control that shows whether a method is more than the lengths of its responses.

    Options:
        balanced: no, or source or category: equally many examples of each source or category.
        match: none, or length: of the lengths in tokens that `like` or `quantile` says, and random otherwise.
        like: for match=length: another selector, whose pick is copied length by length: its name or preset, or with
            options {name: mads, layers: all}.
        quantile: for match=length: responses no shorter than this quantile of the pool's (0.8: the longest fifth).
    """

    balanced: Literal["no", "source", "category"] = "no"
    match: Literal["none", "length"] = "none"
    like: Any = field(default=None, metadata={"plugin": "selector"})
    quantile: Optional[float] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)

    def __post_init__(self) -> None:
        self._require_sense()
        by_length = self.match == "length"
        self.uses_scorer = by_length  # whose tokenizer counts
        self.targeted = bool(getattr(self.like, "targeted", False))
        self.may_stop_short = bool(getattr(self.like, "may_stop_short", False))
        # In tokens, the copy of a smaller pick need not be the beginning of that of a larger one.
        self.nested = self.like is None
        # What `selbench plan` asks for where the lengths of the selection are known beforehand.
        if self.quantile is not None:
            self.likely_ranking = lambda pool, tokens: np.argsort(~self._long(tokens), kind="stable")
        elif hasattr(self.like, "likely_ranking"):
            self.likely_ranking = self.like.likely_ranking

    def _require_sense(self) -> None:
        """Raises UserError for options that contradict each other."""
        who, given = "selector 'random'", [self.like is not None, self.quantile is not None]
        if self.match == "none" and any(given):
            raise UserError(f"{who}: like and quantile say which lengths match=length copies: set match=length too.")
        if self.match == "length" and (sum(given) != 1 or self.balanced != "no"):
            raise UserError(
                f"{who}: match=length needs either like=SELECTOR or quantile=SHARE, and balanced=no beside it."
            )
        if self.quantile is not None and not 0 <= self.quantile < 1:
            raise UserError(f"{who}: quantile={self.quantile} is no share from 0 to below 1.")
        if getattr(self.like, "share", None) is not None:
            raise UserError(
                f"{who}: like={self.like.plugin_name}: that selector takes no budget, so no pick is like it."
            )
        if getattr(self.like, "match", "none") == "length":
            raise UserError(
                f"{who}: like={self.like.plugin_name}: that one copies lengths itself; name what it copies."
            )

    def label(self) -> str:
        """`random like mads`, `random(quantile=0.8)`: match=length goes without saying."""
        if self.like is None:
            return name_and_options(self, but=("match",))
        named = self.like.label() if hasattr(self.like, "label") else name_and_options(self.like)
        return f"random like {named}"

    def check(self) -> None:
        """Raises the UserError of the other selector's own check."""
        if hasattr(self.like, "check"):
            self.like.check()

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [ResponseLength()] if self.match == "length" else []

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        # One permutation for all cases: a prefix of it is the selection, so smaller budgets are prefixes of larger ones.
        order = context.rng.permutation(len(pool))
        if self.match == "length":
            lengths = np.asarray(context.features(ResponseLength())["tokens"])
            return (
                self._like(pool, lengths, order, budget, context)
                if self.like
                else self._of_quantile(lengths, order, budget)
            )
        if self.balanced == "no":
            return Selection.ordered(order, budget)
        names = np.array([getattr(pool[i], self.balanced) for i in order])
        _, first, group = np.unique(names, return_index=True, return_inverse=True)
        turn = np.zeros(len(pool), np.int64)
        for members in (np.flatnonzero(group == g) for g in range(len(first))):
            turn[members] = np.arange(len(members))
        # Within a turn, groups stand in the random order of their first examples: no group is favoured at the cut.
        return Selection.ordered(order[np.lexsort((first[group], turn))], budget)

    def _long(self, lengths: np.ndarray) -> np.ndarray:
        """Which of N response lengths are no shorter than the quantile."""
        found: np.ndarray = lengths >= np.quantile(lengths, self.quantile or 0.0, method="inverted_cdf")
        return found

    def _of_quantile(self, lengths: np.ndarray, order: np.ndarray, budget: Budget) -> Selection:
        """First the long ones in random order; where the budget allows more, the next longer ones, of equal ones any."""
        among = np.where(self._long(lengths), lengths.max(), lengths)[order]
        return Selection.ordered(order[np.argsort(-among, kind="stable")], budget)

    def _like(self, pool: Pool, lengths: np.ndarray, order: np.ndarray, budget: Budget, context: Context) -> Selection:
        picks = np.array([pool.position(id) for id in context.selection_of(self.like, budget).ids])
        copy = copied_lengths(lengths, picks, order)
        context.log(shared_with_copied=len(set(picks.tolist()) & set(copy.tolist())) / len(picks))
        # Where the budget counts other tokens than the lengths do, the copy may leave room, for any others.
        room = budget.unit == "tokens" and not self.may_stop_short
        if room and budget.costs[copy].sum() <= budget.limit - budget.costs.max():
            copy = np.concatenate([copy, order[~np.isin(order, copy)]])
        return Selection.ordered(copy, budget)


def copied_lengths(lengths: np.ndarray, picks: np.ndarray, order: np.ndarray) -> np.ndarray:
    """For each pick another of exactly its length, drawn without replacement: K distinct positions.

    The examples of one length are given out in the order of the permutation, whoever picked them: an example may stand
    for itself, else those of a rare length would run short. So both have the same histogram, and within a length every
    subset is equally likely.

    Args:
        lengths: N response lengths.
        picks: K distinct positions, whose lengths are copied.
        order: a permutation of the N positions.
    """
    drawn = order[np.argsort(lengths[order], kind="stable")]  # by length, within a length as in the permutation
    start = np.searchsorted(lengths[drawn], lengths[picks])
    by_length = np.argsort(lengths[picks], kind="stable")
    turn = np.empty(len(picks), np.int64)  # the number of earlier picks of the same length
    turn[by_length] = np.arange(len(picks)) - np.searchsorted(lengths[picks][by_length], lengths[picks][by_length])
    found: np.ndarray = drawn[start + turn]
    return found
