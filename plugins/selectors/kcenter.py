"""k-center: a selection that leaves no example of the pool far from a selected one."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from selbench.api import Budget, Context, FeatureSpec, NotAtHand, Pool, Selection, UserError, name_and_options, selector
from selbench.features.cut import cut_examples
from selbench.features.embeddings import HiddenStates, TextEmbeddings, TextPart, encoder_problem, names_folder
from selbench.features.reducers import Pooling
from selbench.optimize.kcenter import Metric, farthest_first, medoid


@selector(
    "kcenter",
    stochastic=True,
    nested=True,
    paper="Sener & Savarese 2018, arXiv 1708.00489; as used by Du et al. 2023 (MoDS), arXiv 2311.15653",
    fidelity="from the papers and MoDS's code, with another encoder",
)
class KCenter:
    """Farthest-first traversal: the next example is always the one farthest from all selected ones.

    So outliers are selected early and duplicates last. The largest distance from an example to its nearest selected one
    is at most twice the smallest possible (Gonzalez 1985).

    From MoDS's code: only the instruction is embedded, and the first centre is random.
    Ours: the encoder (MoDS: BERT's [CLS] of at most 96 tokens, Euclidean, not normalised), the cosine metric, TF-IDF and
    the scorer's hidden states as other spaces, the medoid as first centre. selector=kcenter_tfidf needs no model.

    Options:
        space: where the vectors come from: text (a text encoder) or hidden (the scorer's residual stream).
        encoder: for text: the name or folder of a sentence-transformers model, or tfidf (fitted on the pool, needs no
            model).
        dimension: for tfidf: how many dimensions are kept.
        text: for text: the part that is embedded: instruction, question (instruction and input), prompt (with system
            text and earlier turns), response, or text (prompt and response).
        layer: for hidden: the block that is read: last, middle, or its number.
        pooling: for hidden: how the prompt's tokens become one vector: mean, max, last, last_minus_first or
            mean_minus_first.
        metric: the distance: cosine or euclidean.
        first: the first centre: random, medoid, or a position in the pool.
    """

    space: Literal["text", "hidden"] = "text"
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    dimension: int = 256
    text: TextPart = "instruction"
    layer: str = "last"
    pooling: Pooling = "mean"
    metric: Metric = "cosine"
    first: str = "random"

    def __post_init__(self) -> None:
        if self.first not in ("random", "medoid") and not self.first.isdigit():
            raise UserError(f"option 'first' of 'kcenter': '{self.first}' is neither random, medoid nor a position.")
        self.stochastic = self.first == "random"
        self.uses_scorer = self.space == "hidden"

    def label(self) -> str:
        """The name of the preset that chooses the space, with the options that differ from their defaults."""
        if self.space == "hidden":
            return name_and_options(self, name="kcenter_hidden", but=("space",))
        if self.encoder == "tfidf":
            return name_and_options(self, name="kcenter_tfidf", but=("encoder",))
        return name_and_options(self)

    def identity(self) -> dict[str, Any]:
        """The options for the key, with the content of an encoder's folder, or its commit, instead of its path or name."""
        text = self.space == "text"
        return {
            **dataclasses.asdict(self),
            "encoder": TextEmbeddings(self.encoder).identity()["encoder"] if text else None,
        }

    def check(self) -> None:
        """Raises NotAtHand for an encoder of the hub that is neither here nor to be downloaded, UserError for a bad folder."""
        if self.space == "text" and (problem := encoder_problem(self.encoder)):
            raise (UserError if names_folder(self.encoder) else NotAtHand)(
                f"selector 'kcenter': its encoder can be neither found nor downloaded: {problem}. Name a folder with "
                "selector.encoder=/folder, or take selector=kcenter_tfidf, which needs no model and is another method "
                "(docs/methods/kcenter.md)."
            )

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For the conformance suite: vectors that need no model."""
        return {"encoder": "tfidf"}

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [self._points]

    @property
    def _points(self) -> FeatureSpec:
        if self.space == "hidden":
            return HiddenStates(self.layer, self.pooling)
        # Never normalised here: the cosine metric scales the points itself, and Euclidean distances need their length.
        # Other encoders than tfidf ignore the dimension; a fixed one keeps their feature under one key.
        return TextEmbeddings(self.encoder, self.dimension if self.encoder == "tfidf" else 256, self.text, False)

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        points = context.features(self._points)["values"]
        if self.space == "hidden":
            cut_examples(pool, "prompt", self.pooling, False, context)
        if self.first == "random":
            first = int(context.rng.integers(len(pool)))
        else:
            first = medoid(points, self.metric) if self.first == "medoid" else int(self.first)
        found = farthest_first(points, budget.limit, costs=budget.costs, metric=self.metric, first=first)
        return Selection(
            ids=tuple(pool.ids[i] for i in found.order),
            # The first pick is given, so it is ahead of none.
            diagnostics={
                "first": pool.ids[first],
                "radius": found.radius[1:],
                "margin": np.where(np.arange(len(found.order)) == 0, np.nan, found.margin),
            },
        )
