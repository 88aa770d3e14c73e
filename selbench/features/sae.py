"""A sparse autoencoder as a feature: trained on the scorer's activations over the pool, or published by others."""

from __future__ import annotations

import logging
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.errors import UserError
from selbench.features import sae_published
from selbench.features.sae_texts import extra_texts, text_file_hash
from selbench.features.sae_tokens import CountedPositions, TokenStream, check_positions, resolve_layer
from selbench.features.texts import encode_pool

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("selbench.features")

HELD_OUT = 16_384  # tokens at most on which the trained autoencoder is measured
BUFFER = 1 << 30  # bytes of activations held at once


@dataclass(frozen=True)
class SparseAutoencoder:
    """A TopK autoencoder trained on the scorer's residual stream over the tokens of the pool.

    After methods.md 3.1 and 3.6, the recipe that the reported settings of arXiv 2502.14050 point to (EleutherAI's
    sparsify): batch 4,096 tokens, rate 2e-4 / sqrt(latents / 2^14), warm-up, linear decay, Adam. The paper: last layer,
    131,072 latents, k = 128, 10 billion tokens.

    layer: see sae_tokens.resolve_layer; 2/3 of the depth is methods.md's choice.
    latents, k: None chooses by the width d: 16 d, and d / 4 but at most 64.
    tokens: None is latents^2 / 20, at least 200,000 and at most 100 million (reached at width 2,800).
    batch: tokens per step; None is 4,096, or fewer where that would make fewer than 200 steps; never more than the
        pool has. 16 d, 64, 4,096 and 100 million are methods.md's for scorers of 0.5B to 3B; how they shrink for
        smaller ones is ours, measured in benchmarks/bench_sae.py.
    learning_rate: None is the formula; warmup: None is 1,000 steps, at most a tenth of all (ours).
    auxk: weight of the auxiliary loss. dead_after: tokens of silence after which a latent is dead; None is 10 million,
        at most one round over the tokens and at most a quarter of the training (ours).
    positions: prompt, response or all; never the BOS, the template, or the end token.
    extra_text: a file with more text to train on: JSON Lines with a field `text`, or any pool file.

    Each distinct text of the pool is read once per round (ours): duplicates do not count double. Gives W_enc and W_dec
    (L x d), b_enc (L), b_dec (d), `scale`, `k`, `layer`, and what came of it: `fvu` and `l0` on held-out texts (a
    twentieth of the distinct texts; of a pool with fewer than 20, the training texts), `dead_share` (latents silent for
    the last `dead_after` tokens of the training), `trained_tokens`, `steps`. FVU < 0.3 and dead_share < 0.2 is
    methods.md's bar; below it, a warning.
    """

    layer: str = "2/3"
    latents: int | None = None
    k: int | None = None
    tokens: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    warmup: int | None = None
    auxk: float = 1 / 32
    dead_after: int | None = None
    positions: CountedPositions = "all"
    seed: int = 0
    extra_text: InitVar[str | None] = None  # the key holds what the file says, not where it is
    extra_content: str = field(init=False, default="")

    needs_scorer: ClassVar[bool] = True
    stage_kind: ClassVar[str] = "autoencoder"

    def __post_init__(self, extra_text: str | None) -> None:
        check_positions(self.positions)
        for name in ("latents", "k", "tokens", "batch", "dead_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value}: a sparse autoencoder needs a whole number of at least 1.")
        object.__setattr__(self, "where", extra_text)
        object.__setattr__(self, "extra_content", text_file_hash(extra_text) if extra_text else "")

    def compute(self, pool: Pool, context: Context) -> Feature:
        """Raises UserError if the pool has no token at `positions`, or if k exceeds the latents."""
        import torch

        from selbench.features.architectures import blocks_of
        from selbench.features.forward import forward_flops
        from selbench.features.sae_train import reconstruction_quality, train_autoencoder
        from selbench.models import load_model, load_tokenizer

        tokenizer, model = load_tokenizer(context.scorer), load_model(context.scorer)
        limit = context.scorer.max_length
        longest = min(limit, getattr(model.config, "max_position_embeddings", limit))
        texts = encode_pool(pool, tokenizer, max_length=longest, response=True, context=context).distinct
        apart = len(texts) // 20
        training = texts[apart:]
        if self.extra_content:
            training = training + extra_texts(self.where, tokenizer, longest, self.positions)  # type: ignore[attr-defined]
        layer = resolve_layer(self.layer, len(blocks_of(model)))
        width = int(model.config.hidden_size)
        rng = np.random.default_rng(self.seed)
        stream = TokenStream(model, training, layer, self.positions, rng=rng)
        if not stream.available:
            raise UserError(
                f"pool '{pool.name}' has no token at positions={self.positions} to train an autoencoder on."
            )
        recipe, size = self.recipe(width, stream.available)
        generator = torch.Generator().manual_seed(self.seed)
        # Half of a full buffer is handed out at a time: a large pool is not read further than the training needs.
        capacity = min(BUFFER // (4 * width), 2 * size * recipe.steps)
        autoencoder, silent = train_autoencoder(
            stream.batches(size, capacity), recipe, generator, model.device, context
        )
        fvu, l0 = reconstruction_quality(
            autoencoder, _held_out_tokens(model, texts[:apart] or texts, layer, self.positions)
        )
        facts = {
            "fvu": fvu,
            "l0": l0,
            "dead_share": float((silent >= recipe.dead_after).float().mean()),
            "trained_tokens": recipe.steps * size,
            "steps": recipe.steps,
        }
        _log_outcome(facts, context)
        # The scorer's pass, and three products (forward, two backward) with each of the two matrices.
        seen = recipe.steps * size
        context.log(flops=forward_flops(model, seen) + 12.0 * width * recipe.latents * seen)
        arrays = {name: np.array(value) for name, value in facts.items()}
        return {**autoencoder.arrays(), "layer": np.array(layer), **arrays}

    def recipe(self, width: int, available: int) -> tuple[Any, int]:
        """The Recipe for a scorer of this width and a round of `available` tokens; and the tokens per step."""
        from selbench.features.sae_train import Recipe

        latents = self.latents or 16 * width
        k = self.k or max(1, min(64, width // 4, latents))
        if k > latents:
            raise UserError(f"k={k} is more than latents={latents}.")
        tokens = self.tokens or min(max(200_000, latents**2 // 20), 100_000_000)
        wanted = self.batch or max(1, min(4096, tokens // 200))
        size = min(wanted, available)
        steps = max(1, tokens // wanted)  # a tiny pool makes for smaller batches, not for more of them
        patience = self.dead_after or max(1, min(10_000_000, available, steps * size // 4))
        warmup = min(1000, steps // 10) if self.warmup is None else self.warmup
        rate = sparsify_learning_rate(latents) if self.learning_rate is None else self.learning_rate
        return Recipe(latents, k, steps, rate, warmup, self.auxk, patience), size


@dataclass(frozen=True)
class PublishedAutoencoder:
    """An autoencoder that others have trained, from a local folder or through sae-lens; see sae_published.load.

    layer: the block whose output it reads; None takes it from the name of the folder or of the hook.
    """

    path: InitVar[str]  # the key holds what is there, not where it is
    layer: str | None = None
    content: str = field(init=False, default="")

    needs_scorer: ClassVar[bool] = False

    def __post_init__(self, path: str) -> None:
        object.__setattr__(self, "where", path)
        object.__setattr__(self, "content", sae_published.published_content(path))

    def compute(self, pool: Pool, context: Context) -> Feature:
        """W_enc, b_enc, W_dec, b_dec, `scale` (1), `k` (0: not TopK) and, where it is known, `layer`."""
        return sae_published.load_published(self.where, self.layer)  # type: ignore[attr-defined]


def sparsify_learning_rate(latents: int) -> float:
    """2e-4 / sqrt(latents / 2^14): sparsify's rule; 7.07e-5 for 131,072 latents, the rate that the paper reports."""
    rate: float = 2e-4 / (latents / 2**14) ** 0.5
    return rate


def _held_out_tokens(model: Any, texts: list[Any], layer: int, positions: str) -> Tensor:
    import torch

    stream = TokenStream(model, texts, layer, positions, rng=np.random.default_rng(0))
    parts: list[Tensor] = []
    for part in stream.read(np.arange(len(stream.texts))):
        parts.append(part)
        if sum(map(len, parts)) >= HELD_OUT:
            break
    return torch.cat(parts)[:HELD_OUT]


def _log_outcome(facts: dict[str, float], context: Context) -> None:
    context.log(**{f"sae_{name}": value for name, value in facts.items()})
    if facts["fvu"] >= 0.3 or facts["dead_share"] >= 0.2:
        log.warning(
            "the sparse autoencoder leaves %.0f %% of the variance unexplained and %.0f %% of its latents dead (wanted: "
            "below 30 %% and 20 %%): train it on more tokens, or with more latents or a larger k",
            100 * facts["fvu"],
            100 * facts["dead_share"],
        )
