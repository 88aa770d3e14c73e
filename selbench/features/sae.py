"""A sparse autoencoder as a feature: trained on the scorer's activations over the pool, or published by others."""

from __future__ import annotations

import logging
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.data.commits import commit_of
from selbench.errors import NotAtHand, UserError
from selbench.features import sae_from_lens, sae_published
from selbench.features.sae_recipe import Recipe, sparsify_learning_rate
from selbench.features.sae_texts import extra_texts, text_file_hash
from selbench.features.sae_tokens import CountedPositions, TokenStream, check_positions, resolve_layer
from selbench.features.texts import encode_pool
from selbench.sizes import FeatureSize, ModelShape, PoolSize, read_tokens

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

log = logging.getLogger("selbench.features")

HELD_OUT = 16_384  # largest number of tokens on which the trained autoencoder is measured
BUFFER = 1 << 30  # largest number of bytes of activations held at once


@dataclass(frozen=True)
class SparseAutoencoder:
    """A TopK sparse autoencoder trained on the scorer's residual stream over the tokens of the pool.

    The recipe is that of EleutherAI's sparsify, to which the settings reported in arXiv 2502.14050 point: Adam, 4,096
    tokens per step, learning rate 2e-4 / sqrt(latents / 2^14), warm-up and linear decay. The paper trains on the last
    layer with 131,072 latents, k = 128 and 10 billion tokens. Ours are the layer, the number of latents, k, the number
    of tokens and the way in which they shrink for small scorers (docs/methods/sae.md; measured in
    benchmarks/bench_sae.py). A round reads each distinct text once (ours): duplicates do not count double.

    Feature, for width d and L latents: the weights W_enc and W_dec (L x d), b_enc (L) and b_dec (d), `scale`, `k`,
    `layer` (0-based), and what the training reached:

    - `fvu` (fraction of variance unexplained) and `l0` (mean number of active latents per token), on a twentieth of
      the distinct texts, which is held out; on the training texts if the pool has fewer than 20 distinct texts
    - `dead_share`: share of latents that were silent for the last `dead_after` tokens of the training
    - `trained_tokens` and `steps`

    A warning is logged if FVU is 0.3 or more, or dead_share 0.2 or more (our bounds). Raises UserError for an option
    that is not valid.
    """

    layer: str = "2/3"  # the block that is read, as sae_tokens.resolve_layer understands it
    latents: int | None = None  # their number, L; None: 16 d
    k: int | None = None  # active latents per token; None: d / 4, at most 64
    # Tokens of the whole training. None: latents^2 / 20, at least 200,000 and at most 100 million.
    tokens: int | None = None
    # Tokens per step, never more than the pool has. None: 4,096, or fewer if that makes fewer than 200 steps.
    batch: int | None = None
    learning_rate: float | None = None  # at its peak; None: 2e-4 / sqrt(latents / 2^14)
    warmup: int | None = None  # steps; None: 1,000, at most a tenth of all
    auxk: float = 1 / 32  # weight of the auxiliary loss, which revives dead latents
    # Tokens of silence after which a latent is dead. None: 10 million, at most one round over the pool's tokens and at
    # most a quarter of the training.
    dead_after: int | None = None
    positions: CountedPositions = "all"  # prompt, response or all; never BOS, template or end token
    seed: int = 0  # of the initial weights and the order of the tokens
    # A file with more text to train on: JSON Lines with a field `text`, or any pool file. The key of the stage holds a
    # hash of the file, `extra_content`, so that a file may move without a new training.
    extra_text: InitVar[str | None] = None
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

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        recipe, batch = self.recipe(model.width, max(1, int(read_tokens(pool, response=True))))
        seen, weights = float(batch * recipe.steps), 2.0 * model.width * recipe.latents
        return FeatureSize(seen, 4.0 * weights, 6.0 * weights * seen)

    def compute(self, pool: Pool, context: Context) -> Feature:
        """Train the autoencoder. Raises UserError if the pool has no token at `positions`, or if k exceeds the latents."""
        from selbench.kept_model import borrowed_model

        with borrowed_model(context.scorer) as model:
            return self._trained(model, pool, context)

    def _trained(self, model: PreTrainedModel, pool: Pool, context: Context) -> Feature:
        import torch

        from selbench.features.architectures import blocks_of
        from selbench.features.forward import forward_flops
        from selbench.features.sae_train import reconstruction_quality, train_autoencoder
        from selbench.models import load_tokenizer
        from selbench.placement import input_device

        tokenizer = load_tokenizer(context.scorer)
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
        # Half of a full buffer is handed out at a time. Twice the tokens of the training are therefore enough, and a
        # large pool is not read further than the training needs.
        capacity = min(BUFFER // (4 * width), 2 * size * recipe.steps)
        autoencoder, silent = train_autoencoder(
            stream.batches(size, capacity), recipe, generator, input_device(model), context
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
        # FLOPs: the scorer's forward pass, and per token three products (one forward, two backward) of 2 d L each with
        # both W_enc and W_dec.
        seen = recipe.steps * size
        context.log(flops=forward_flops(model, seen) + 12.0 * width * recipe.latents * seen)
        arrays = {name: np.array(value) for name, value in facts.items()}
        return {**autoencoder.arrays(), "layer": np.array(layer), **arrays}

    def recipe(self, width: int, available: int) -> tuple[Recipe, int]:
        """The Recipe and the tokens per step, for a scorer of this width and a round of `available` tokens."""
        latents = self.latents or 16 * width
        k = self.k or max(1, min(64, width // 4, latents))
        if k > latents:
            raise UserError(f"k={k} is more than latents={latents}.")
        tokens = self.tokens or min(max(200_000, latents**2 // 20), 100_000_000)
        wanted = self.batch or max(1, min(4096, tokens // 200))
        size = min(wanted, available)
        steps = max(1, tokens // wanted)  # a tiny pool has smaller batches, not more of them
        patience = self.dead_after or max(1, min(10_000_000, available, steps * size // 4))
        warmup = min(1000, steps // 10) if self.warmup is None else self.warmup
        rate = sparsify_learning_rate(latents) if self.learning_rate is None else self.learning_rate
        return Recipe(latents, k, steps, rate, warmup, self.auxk, patience), size


@dataclass(frozen=True)
class PublishedAutoencoder:
    """An autoencoder that others have trained, read from a local file or folder, or through sae-lens.

    Feature: W_enc and W_dec (L x d), b_enc (L), b_dec (d), `scale` (1), `k` (0 if it is not TopK) and, where it is
    known, `layer` (0-based); `jump` (L) of one with a JumpReLU, whose activations up to that are 0.
    """

    # One of sae_published.FORMATS. The key of the stage holds a hash of the files, `content`, so that they may move.
    path: InitVar[str]
    layer: str | None = None  # the block whose output it reads; None: taken from the name of the folder or of the hook
    content: str = field(init=False, default="")

    needs_scorer: ClassVar[bool] = False

    def __post_init__(self, path: str) -> None:
        object.__setattr__(self, "where", path)
        object.__setattr__(self, "content", sae_published.published_content(path))

    def identity(self) -> dict[str, Any]:
        """The fields for the key; of one through sae-lens also the commit of its repository."""
        fields: dict[str, Any] = {"content": self.content, "layer": self.layer}
        if self.content.startswith(sae_from_lens.PREFIX):
            try:
                repository = sae_from_lens.repository_of(self.content)
            except NotAtHand:  # without sae-lens it is not known; the selector's check refuses a run
                repository = sae_from_lens.release_and_id(self.content)[0]
            fields["commit"] = commit_of("model", repository)
        return fields

    def compute(self, pool: Pool, context: Context) -> Feature:
        """Load the autoencoder. Raises UserError if it cannot be read (see sae_published.load_published)."""
        return sae_published.load_published(self.where, self.layer)  # type: ignore[attr-defined]


def _held_out_tokens(model: Any, texts: list[Any], layer: int, positions: str) -> Tensor:
    """T x d activations of the first texts, T being HELD_OUT or what there is."""
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
