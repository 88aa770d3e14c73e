"""Which sparse autoencoder is used and when its latents are on: the options of selectors and of the space `sae_tags`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selbench.api import Context, Feature, FeatureSpec, ModelRef, Pool, UserError
from selbench.features.sae import PublishedAutoencoder, SparseAutoencoder
from selbench.features.sae_fit import check_fit, origin_of
from selbench.features.sae_tags import LatentThreshold, SaeTags
from selbench.features.sae_tokens import CountedPositions
from selbench.features.texts import calibration_sample


@dataclass
class SaeOptions:
    """Which autoencoder is used, and when one of its latents counts as on.

    `selbench.features.sae` and `selbench.features.sae_tags` explain every default.

    Options:
        autoencoder: null trains one on the scorer's activations over the pool; else a published one: a folder in
            EleutherAI's sparsify format, a .safetensors file, or sae_lens:RELEASE:SAE_ID. It is shared by all seeds.
        autoencoder_fits: true says that a published autoencoder which names another model than the scorer fits it all the
            same: that the scorer is a copy of that model, or tuned from it. Layer and width are checked anyhow.
        layer: 2/3 (of the depth), last (the paper's), middle or a number. A published autoencoder needs it only if
            it does not name its layer itself.
        latents: for training an autoencoder: the number of its latents; null is the default of features.sae.
        k: for training: how many latents are on at a token.
        train_tokens: for training: how many tokens the autoencoder sees.
        sae_seed: for training: the seed. null follows the run's seed, so that the autoencoder's luck is in the intervals
            of a board: one is trained for each seed, for all selectors and budgets. A number is one for all seeds.
        extra_text: for training: a file with more text, JSON Lines with a field `text` or any pool file.
        threshold: when a latent is on: per_token (the median token has `level` latents on), absolute (its activation
            is above `level`; the paper: 10), or quantile (above the quantile `level` of the positive activations).
        level: the value that `threshold` refers to; null is k / 8 for per_token.
        positions: the tokens that count: prompt, response or all (both).
    """

    autoencoder: str | None = None
    autoencoder_fits: bool = False
    layer: str | None = None
    latents: int | None = None
    k: int | None = None
    train_tokens: int | None = None
    sae_seed: int | None = None
    extra_text: str | None = None
    threshold: LatentThreshold = "per_token"
    level: float | None = None
    positions: CountedPositions = "all"

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: an autoencoder that is trained in a moment, because every check of a pool trains one."""
        return {"latents": 64, "k": 4, "train_tokens": 2000}

    def __post_init__(self) -> None:
        self.spec_of(0)  # building the feature checks the options before any work is done

    @property
    def stochastic(self) -> bool:
        """Whether the selection depends on the run's seed: where the autoencoder is trained with it."""
        return self.autoencoder is None and self.sae_seed is None

    def drawn_once(self, pool: Pool, target: Mapping[str, Pool]) -> list[str]:
        """What all seeds share where the autoencoder is published or has a seed of its own: it, and theta's sample."""
        if self.stochastic:
            return []
        sample = () if self.threshold == "absolute" else calibration_sample(pool, response=True)
        return ["autoencoder", *sample]

    def check(self) -> None:
        """Raises UserError for a published autoencoder that cannot be found, or needs sae-lens where that is missing."""
        if self.autoencoder:
            origin_of(self.autoencoder, self.layer)

    def check_scorer(self, scorer: ModelRef) -> list[str]:
        """Sentences that warn; raises UserError for a published autoencoder that does not fit the scorer."""
        if not self.autoencoder:
            return []
        origin = origin_of(self.autoencoder, self.layer)
        return check_fit(self.autoencoder, origin, scorer, self.layer, self.autoencoder_fits)

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [self.spec_of(seed)]

    def spec_of(self, seed: int) -> SaeTags:
        """The feature that these options describe, for a context with this seed.

        Raises UserError for options that contradict each other.
        """
        sae = self._autoencoder(seed if self.sae_seed is None else self.sae_seed)
        # The autoencoder of a seed reads the pool for that seed alone, so its calibration sample may well be the seed's.
        own = seed if self.stochastic and self.threshold != "absolute" else None
        return SaeTags(sae, self.threshold, self.level, self.positions, sample_seed=own)

    def tags_of(self, context: Context) -> Feature:
        """The same, computed over the context's pool."""
        return context.features(self.spec_of(context.seed if self.stochastic else 0))

    def _autoencoder(self, seed: int) -> PublishedAutoencoder | SparseAutoencoder:
        if self.autoencoder:
            set_here = ("latents", "k", "train_tokens", "sae_seed", "extra_text")
            if idle := [name for name in set_here if getattr(self, name) is not None]:
                raise UserError(
                    f"{', '.join(idle)}: for training an autoencoder, but autoencoder= names a published one."
                )
            return PublishedAutoencoder(self.autoencoder, layer=self.layer)
        if self.autoencoder_fits:
            raise UserError("autoencoder_fits is about a published autoencoder: name one with autoencoder=.")
        return SparseAutoencoder(
            layer=self.layer or "2/3",
            latents=self.latents,
            k=self.k,
            tokens=self.train_tokens,
            positions=self.positions,
            seed=seed,
            extra_text=self.extra_text,
        )

    def identity(self) -> dict[str, Any]:
        """The options for the selection's key, with the content of the files they name instead of the paths.

        The run's seed is beside the options in that key, wherever the selection depends on it.
        """
        options = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**options, "autoencoder": None, "extra_text": None, "tags": dataclasses.asdict(self.spec_of(0))}
