"""What presets state of pools and models of the Hugging Face hub, for plans made where these are not at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selbench.errors import UserError


@dataclass
class StatedSize:
    """The size of a pool, as somebody states it. Tokens are means over the rows, of the texts without any template."""

    of: str = ""  # the name on the hub that these figures are of; empty: of whatever the pool reads
    rows: int = 0  # 0: nothing is stated
    prompt_tokens: float = 0.0
    response_tokens: float = 0.0
    source: str = ""  # where the figures come from, for people

    def holds_for(self, hub: str | None) -> bool:
        """Whether something is stated of this data set. Raises UserError for figures that are no sizes, or not all given."""
        figures = self.rows, self.prompt_tokens, self.response_tokens
        if not any(figures) or self.of not in ("", hub):
            return False
        if min(figures) <= 0:
            raise UserError(
                f"pool.stated: rows={self.rows}, prompt_tokens={self.prompt_tokens:g} and "
                f"response_tokens={self.response_tokens:g} are stated together, each above 0."
            )
        return True


@dataclass
class StatedShape:
    """The shape of a decoder, as somebody states it, by the names of its config.json."""

    of: str = ""  # the name on the hub that these figures are of; empty: of whatever model.path names
    num_hidden_layers: int = 0  # 0: nothing is stated
    hidden_size: int = 0
    intermediate_size: int = 0
    num_attention_heads: int = 0
    num_key_value_heads: int = 0
    vocab_size: int = 0
    tie_word_embeddings: bool = False
    source: str = ""  # where the figures come from, for people

    def config(self, path: str) -> dict[str, Any]:
        """The entries that a config.json would have; empty if nothing is stated of the model at this path."""
        named = {name: value for name, value in dataclasses.asdict(self).items() if name not in ("of", "source")}
        return named if self.num_hidden_layers and self.of in ("", path) else {}

    def contradictions(self, config: Mapping[str, Any], path: str) -> list[str]:
        """`hidden_size (4096, stated 2048)`: where a config.json says otherwise. An entry that it leaves out is not compared."""
        return [
            f"{name} ({config[name]}, stated {value})"
            for name, value in self.config(path).items()
            if name in config and config[name] != value
        ]
