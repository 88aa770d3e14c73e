"""How much work a stage is: examples, tokens, operations, and the space it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selbench.api import ModelRef, Pool
from selbench.models import fingerprint
from selbench.planning.demands import Demand, Grid
from selbench.planning.flops import FORWARD, TRAINING, parameters, width
from selbench.planning.past import Past
from selbench.planning.plan import Settings
from selbench.planning.suites import reading
from selbench.run.inputs import load_pool
from selbench.store.keys import digest, plugin_identity, spec_identity

# Where nothing at all is known: seconds per example of the pool, for what runs no model.
LIGHT = {"tokens": 1e-4, "lengths": 5e-4, "selection": 1e-4, "leaks": 1e-4, "features": 1e-3, "autoencoder": 1e-3}
# Seconds before any work: counting tokens is the first that a process does, and loads the libraries.
START = {"tokens": 5.0, "selection": 0.0, "features": 0.5, "autoencoder": 1.0, "training": 1.0, "evaluation": 1.0}
LOAD = 2e-9  # seconds per parameter to load a model: two bytes at a gigabyte a second


@dataclass(frozen=True)
class Work:
    """One stage's work. `sizes` by unit, the best first (see PastStage); `tokens` go through the model; `flops` is
    None where no model runs or its size is unknown; `bytes` is what it leaves if no past stage tells.

    `counted` says where the tokens come from, `assumed` what else is not known; `whole`: the features of a selection
    are part of it.
    """

    kind: str
    plugin: str
    options: str = ""
    model: str | None = None
    parameters: float | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)
    tokens: float = 0.0
    counted: str = ""
    assumed: str = ""
    flops: float | None = None
    light: float = 0.0  # seconds besides the operations: all of them where no model runs, else loading it
    bytes: float = 0.0
    keeps: bool = True
    whole: bool = False


class Workload:
    """The work of every stage of a grid."""

    def __init__(self, grid: Grid, past: Past, settings: Settings) -> None:
        self.grid, self.past, self.settings = grid, past, settings
        self._lengths: dict[tuple[str, str], tuple[np.ndarray, str]] = {}

    def of(self, demand: Demand) -> Work:
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

    def lengths(self, pool: Pool, demand: Demand, model: ModelRef) -> tuple[np.ndarray, str]:
        """N floats, the tokens of each example (prompt and response, without template), and where they come from."""
        known = pool.fingerprint, fingerprint(model)
        if known not in self._lengths:
            counts = self.grid.response_tokens(demand.run) if model == demand.run.model else None
            said = np.asarray([len(example.response) for example in pool], float)
            if counts is None or not counts.sum():
                rate, source = (
                    self.settings.chars_per_token,
                    f"{self.settings.chars_per_token:g} characters per token assumed",
                )
            else:
                rate = max(1.0, float(np.sum(said) / np.sum(counts)))
                source = f"{rate:.1f} characters per token, as counted in the responses"
            tokens = np.asarray([len(example.text) for example in pool]) / rate
            self._lengths[known] = np.minimum(tokens, model.max_length), source
        return self._lengths[known]

    def _tokens(self, demand: Demand) -> Work:
        pool, model = load_pool(demand.run.pool).pool, demand.run.model
        return Work(
            "tokens",
            "tokens",
            model=fingerprint(model),
            sizes={"examples": len(pool)},
            light=START["tokens"] + LIGHT["tokens"] * len(pool),
            bytes=8.0 * len(pool),
        )

    def _token_lengths(self, demand: Demand) -> Work:
        pool, model = load_pool(demand.run.pool).pool, fingerprint(demand.run.model)
        light = LIGHT["lengths"] * len(pool)
        return Work(
            "lengths", "lengths", model=model, sizes={"examples": len(pool)}, light=light, bytes=32.0 * len(pool)
        )

    def _leaks(self, demand: Demand) -> Work:
        pool, about = load_pool(demand.run.pool).pool, plugin_identity(demand.plugin)
        light = LIGHT["leaks"] * len(pool)
        return Work(
            "leaks", about["name"], digest(about["options"]), sizes={"examples": len(pool)}, light=light, bytes=4e3
        )

    def _features(self, demand: Demand) -> Work:
        about = spec_identity(demand.plugin)
        return self._reading(demand, demand.stage, about["name"], about["fields"], demand.plugin.needs_scorer)

    def _selection(self, demand: Demand) -> Work:
        selector, about = demand.plugin, plugin_identity(demand.plugin)
        whole = bool(selector.uses_scorer and not hasattr(selector, "needs"))
        work = self._reading(demand, "selection", about["name"], about["options"], whole)
        return dataclasses.replace(work, whole=whole, bytes=40 * demand.picks)

    def _reading(self, demand: Demand, kind: str, plugin: str, options: Any, looks: bool) -> Work:
        """Something computed over the whole pool, by the scorer where it `looks`."""
        pool, scorer = load_pool(demand.run.pool).pool, demand.run.scorer
        size = parameters(scorer) if looks else None
        lengths, source = self.lengths(pool, demand, scorer) if looks else (np.zeros(1), "")
        uses = looks or (kind == "selection" and demand.run.selector.uses_scorer)
        return Work(
            kind,
            plugin,
            digest(options),
            model=fingerprint(scorer) if uses else None,
            parameters=parameters(scorer) if uses else None,
            sizes={"examples": len(pool)},
            tokens=float(lengths.sum()),
            counted=source,
            flops=FORWARD * size * float(lengths.sum()) if size else None,
            light=START[kind] + (LOAD * (size or 0.0) if looks else LIGHT[kind] * len(pool)),
            bytes=4.0 * len(pool) * ((width(scorer) if looks else None) or 256),
        )

    def _training(self, demand: Demand) -> Work:
        run, trainer, model = demand.run, demand.plugin, demand.run.model
        pool = load_pool(run.pool).pool
        lengths, source = self.lengths(pool, demand, model)
        chosen = lengths if demand.positions is None else lengths[demand.positions]
        seen = _examples_seen(trainer, demand.picks, self._response_share(pool, demand))
        size = parameters(model)
        tokens, about = seen * float(chosen.mean()), plugin_identity(trainer)
        return Work(
            "training",
            about["name"],
            digest(about["options"]),
            model=fingerprint(model),
            parameters=size,
            sizes={"tokens": tokens, "examples": demand.picks},
            tokens=tokens,
            counted=source,
            flops=TRAINING * size * tokens if size else None,
            light=START["training"] + LOAD * (size or 0.0),
            bytes=4 * (size or 0.0) * _kept_share(trainer),
            keeps=run.keep_models,
        )

    def _response_share(self, pool: Pool, demand: Demand) -> float:
        """Mean response tokens of an example."""
        counts = self.grid.response_tokens(demand.run)
        if counts is not None:
            return float(np.mean(counts))
        return float(np.mean([len(example.response) for example in pool])) / self.settings.chars_per_token

    def _evaluation(self, demand: Demand) -> Work:
        about, model = plugin_identity(demand.plugin), demand.run.model
        options, size = digest(about["options"]), parameters(model)
        before = [stage for stage in self.past.of("evaluation", about["name"]) if stage.options == options]
        counted = [stage.sizes["items"] for stage in before if "items" in stage.sizes]
        guess = reading(demand.plugin, self.settings.items)
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
            light=START["evaluation"] + LOAD * (size or 0.0),
            bytes=40 * items,
        )


def _examples_seen(trainer: Any, picks: float, response_tokens: float) -> float:
    """Examples that pass through the model, however the trainer counts how long it goes on."""
    match = getattr(trainer, "match", "epochs")
    if match == "steps":
        return float(trainer.steps * getattr(trainer, "batch_size", 1))
    if match == "tokens":
        return float(trainer.tokens / max(1.0, response_tokens))
    return picks * float(getattr(trainer, "epochs", 1.0))


def _kept_share(trainer: Any) -> float:
    """The weights that are written, as a share of the model's: of an adapter over all linear layers about 0.6 % at rank 16."""
    rank = getattr(trainer, "lora_rank", 0)
    return min(1.0, 0.0004 * rank) if rank else 1.0
