"""How much work a stage is: examples, tokens and operations, and the space that it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selbench.api import ModelRef, Pool
from selbench.models import fingerprint
from selbench.planning.demands import Demand, Grid
from selbench.planning.flops import FORWARD, TRAINING, model_shape, parameters
from selbench.planning.measured import MeasuredPools, PoolLengths
from selbench.planning.past import Past
from selbench.planning.plan import Settings
from selbench.planning.suites import suite_reading
from selbench.planning.training_tokens import training_tokens
from selbench.run.inputs import pool_of
from selbench.run.training_lengths import context_of
from selbench.sizes import FeatureSize, ModelShape, PoolSize
from selbench.store.keys import digest, plugin_identity, spec_identity

# Assumed seconds per example of the pool, for stages that run no model and were never run here.
EXAMPLE_S = {
    **{"tokens": 1e-4, "lengths": 5e-4, "selection": 1e-4, "leaks": 1e-4, "features": 1e-3, "autoencoder": 1e-3},
    "evaluation": 1e-5,  # of a suite that scores the selection
}
# Assumed seconds before a stage's work begins. Counting tokens comes first in a process, and loads the libraries.
START_S = {"tokens": 5.0, "selection": 0.0, "features": 0.5, "autoencoder": 1.0, "training": 1.0, "evaluation": 1.0}
LOAD_S = 2e-9  # assumed seconds per parameter to load a model: two bytes at a gigabyte per second


@dataclass(frozen=True)
class Work:
    """The work of one stage."""

    kind: str
    plugin: str  # its name; the kind for token counts
    options: str = ""  # a hash of the plugin's options
    model: str | None = None  # the fingerprint of the base model or scorer
    parameters: float | None = None  # of that model
    sizes: Mapping[str, float] = field(default_factory=dict)  # unit (see PastStage) -> number, the best unit first
    tokens: float = 0.0  # that go through the model
    counted: str = ""  # where the tokens come from, for people
    assumed: str = ""  # what else is assumed, for people
    flops: float | None = None  # None where no model runs, or its size is unknown
    other_s: float = 0.0  # seconds besides the operations: all of them where no model runs, else those for loading it
    bytes: float = 0.0  # that it leaves, where no past stage tells
    keeps: bool = True  # whether its files stay
    whole: bool = False  # whether a selection's features are part of it, as the selector does not name them


class Workload:
    """Works out the work of each stage of a grid."""

    def __init__(self, grid: Grid, past: Past, settings: Settings, measured: MeasuredPools) -> None:
        self.grid, self.past, self.settings, self.measured = grid, past, settings, measured

    def of(self, demand: Demand) -> Work:
        """The work of one stage."""
        make = {
            "tokens": self._tokens,
            "lengths": self._token_lengths,
            "selection": self._selection,
            "leaks": self._leaks,
            "training": self._training,
        }
        if demand.stage == "evaluation":
            return self._evaluation(demand)
        return make.get(demand.stage, self._features)(demand)

    def lengths(self, pool: Pool, demand: Demand, model: ModelRef) -> PoolLengths:
        """How long the examples of the pool are for a model."""
        counts = self.grid.response_tokens(demand.run) if model == demand.run.model else None
        return self.measured.lengths(pool, model, counts)

    def _tokens(self, demand: Demand) -> Work:
        pool, model = pool_of(demand.run).pool, demand.run.model
        return Work(
            "tokens",
            "tokens",
            model=fingerprint(model),
            sizes={"examples": len(pool)},
            other_s=START_S["tokens"] + EXAMPLE_S["tokens"] * len(pool),
            bytes=8.0 * len(pool),
        )

    def _token_lengths(self, demand: Demand) -> Work:
        pool, model = pool_of(demand.run).pool, fingerprint(demand.run.model)
        other_s = EXAMPLE_S["lengths"] * len(pool)
        return Work(
            "lengths", "lengths", model=model, sizes={"examples": len(pool)}, other_s=other_s, bytes=32.0 * len(pool)
        )

    def _leaks(self, demand: Demand) -> Work:
        about, sizes = plugin_identity(demand.plugin), {"examples": round(demand.picks)}
        other_s = EXAMPLE_S["leaks"] * demand.picks
        return Work("leaks", about["name"], digest(about["options"]), sizes=sizes, other_s=other_s, bytes=4e3)

    def _features(self, demand: Demand) -> Work:
        about = spec_identity(demand.plugin)
        work = self._reading(demand, demand.stage, about["name"], about["fields"], demand.plugin.needs_scorer)
        size = self._feature_size(demand)
        if size is None:
            return work
        if not size.tokens:  # computed without the scorer, or with its tokenizer alone
            other_s = START_S[demand.stage] + EXAMPLE_S[demand.stage] * work.sizes["examples"]
            return dataclasses.replace(work, tokens=0.0, flops=None, other_s=other_s, bytes=size.bytes)
        flops = FORWARD * work.parameters * size.tokens + size.flops if work.parameters else None
        return dataclasses.replace(work, tokens=size.tokens, flops=flops, bytes=size.bytes)

    def _feature_size(self, demand: Demand) -> FeatureSize | None:
        """How large a feature says it is; None if it does not say it, or the shape of a scorer that it needs is not known."""
        pool, spec, scorer = pool_of(demand.run).pool, demand.plugin, demand.run.scorer
        shape = model_shape(scorer) or (None if spec.needs_scorer else ModelShape(0, 0, 0))
        if shape is None or not hasattr(spec, "size"):
            return None
        tokens, in_loss = self.lengths(pool, demand, scorer).kept(scorer.max_length)
        try:
            found = spec.size(PoolSize(len(pool), float((tokens - in_loss).sum()), float(in_loss.sum())), shape)
        except Exception:  # options that do not fit the scorer are told of where the feature is computed
            return None
        return found if isinstance(found, FeatureSize) else None

    def _selection(self, demand: Demand) -> Work:
        selector, about = demand.plugin, plugin_identity(demand.plugin)
        whole = bool(selector.uses_scorer and not hasattr(selector, "needs"))
        work = self._reading(demand, "selection", about["name"], about["options"], whole)
        return dataclasses.replace(work, whole=whole, bytes=40 * demand.picks)

    def _reading(self, demand: Demand, kind: str, plugin: str, options: Any, looks: bool) -> Work:
        """The work of a feature or selection, computed over the whole pool; through the scorer if it `looks` through it."""
        pool, scorer = pool_of(demand.run).pool, demand.run.scorer
        size = parameters(scorer) if looks else None
        tokens, source = 0.0, ""
        if looks:
            lengths = self.lengths(pool, demand, scorer)
            tokens, source = float(lengths.kept(scorer.max_length)[0].sum()), lengths.source
        # A selection depends on the scorer through its features, even if it reads nothing itself.
        uses = looks or (kind == "selection" and demand.run.selector.uses_scorer)
        return Work(
            kind,
            plugin,
            digest(options),
            model=fingerprint(scorer) if uses else None,
            parameters=parameters(scorer) if uses else None,
            sizes={"examples": len(pool)},
            tokens=tokens,
            counted=source,
            flops=FORWARD * size * tokens if size else None,
            other_s=START_S[kind] + (LOAD_S * (size or 0.0) if looks else EXAMPLE_S[kind] * len(pool)),
            bytes=4.0 * len(pool) * (shape.width if looks and (shape := model_shape(scorer)) else 256),
        )

    def _training(self, demand: Demand) -> Work:
        run, trainer, model = demand.run, demand.plugin, demand.run.model
        pool = pool_of(run).pool
        found = training_tokens(demand, pool, self.lengths(pool, demand, model), context_of(run).tokens, self.past)
        size, about = parameters(model), plugin_identity(trainer)
        return Work(
            "training",
            about["name"],
            digest(about["options"]),
            model=fingerprint(model),
            parameters=size,
            sizes={"tokens": found.seen, "response tokens": found.response, "examples": demand.picks},
            tokens=found.seen,
            counted=found.source,
            flops=TRAINING * size * found.seen if size else None,
            other_s=START_S["training"] + LOAD_S * (size or 0.0),
            bytes=4 * (size or 0.0) * _kept_share(trainer),
            keeps=run.keep_models,
        )

    def _selection_score(self, demand: Demand) -> Work:
        about, sizes = plugin_identity(demand.plugin), {"examples": demand.picks}
        other_s = EXAMPLE_S["evaluation"] * demand.picks
        return Work("evaluation", about["name"], digest(about["options"]), sizes=sizes, other_s=other_s, bytes=4e3)

    def _evaluation(self, demand: Demand) -> Work:
        if demand.plugin.scores_selections:
            return self._selection_score(demand)
        about, model = plugin_identity(demand.plugin), demand.run.model
        options, size = digest(about["options"]), parameters(model)
        before = [stage for stage in self.past.of("evaluation", about["name"]) if stage.options == options]
        counted = [stage.sizes["items"] for stage in before if "items" in stage.sizes]
        guess = suite_reading(demand.plugin, self.settings.items)
        items = float(np.median(counted)) if counted else guess.items
        tokens = items * guess.lengths / guess.items * self.settings.item_tokens
        return Work(
            "evaluation",
            about["name"],
            options,
            model=fingerprint(model),
            parameters=size,
            sizes={"whole": 1.0} if before else {"items": items},
            tokens=tokens,
            counted=f"{self.settings.item_tokens} tokens per item and text assumed",
            assumed="" if before else f"{items:,.0f} items" + ("" if guess.known else " assumed"),
            flops=FORWARD * size * tokens if size else None,
            other_s=START_S["evaluation"] + LOAD_S * (size or 0.0),
            bytes=40 * items,
        )


def _kept_share(trainer: Any) -> float:
    """The share of the model's weights that is written: all, or those of an adapter.

    An adapter over all linear layers has about 0.6 % of the weights at rank 16.
    """
    rank = getattr(trainer, "lora_rank", 0)
    return min(1.0, 0.0004 * rank) if rank else 1.0
