"""What the language-model head says of a text: the loss of every token, or the logits of some tokens after the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selbench.data.chat import Encoded

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

ROWS = 2**24  # logits in memory at once, as rows times vocabulary: 64 MiB in float32


@dataclass(frozen=True)
class TokenLosses:
    """The cross-entropy of every token given those before it, in nats: B x T, and 0 for the first one and for padding."""

    def read(self, model: PreTrainedModel, hidden: Tensor, ids: Tensor, texts: Sequence[Encoded]) -> Tensor:
        import torch

        losses = torch.zeros(ids.shape, dtype=torch.float32, device=hidden.device)
        predicted = torch.zeros(ids.shape, dtype=torch.bool, device=hidden.device)
        for row, text in zip(predicted, texts):
            row[1 : len(text.ids)] = True
        before = hidden[:, :-1][predicted[:, 1:]]  # M x width, what the M predicted tokens are predicted from
        wanted = ids[predicted]
        rows = max(1, ROWS // int(model.config.get_text_config().vocab_size))
        found = [
            torch.nn.functional.cross_entropy(
                _logits(model, before[i : i + rows]), wanted[i : i + rows], reduction="none"
            )
            for i in range(0, len(wanted), rows)
        ]
        if found:
            losses[predicted] = torch.cat(found)
        return losses


@dataclass(frozen=True)
class NextLogits:
    """The logits of some tokens after the last token of a text: B x len(tokens)."""

    tokens: tuple[int, ...]

    def read(self, model: PreTrainedModel, hidden: Tensor, ids: Tensor, texts: Sequence[Encoded]) -> Tensor:
        import torch

        last = torch.tensor([max(0, len(text.ids) - 1) for text in texts], device=hidden.device)
        final = hidden[torch.arange(len(texts), device=hidden.device), last]
        return _logits(model, final)[:, list(self.tokens)]


def _logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """The model's logits in float32 (M x vocabulary) from final hidden states (M x width), scaled as its family does."""
    head: Any = model.get_output_embeddings()
    logits: Tensor = head(hidden).float()
    config = model.config.get_text_config()
    # Granite divides, Cohere multiplies, Gemma 2 bounds its logits: transformers does so outside the head.
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = (logits / cap).tanh() * cap
    return logits


def head_flops(model: PreTrainedModel, tokens: int) -> float:
    """FLOPs of the head over so many tokens: 2 x width x vocabulary x tokens."""
    head: Any = model.get_output_embeddings()
    return 2.0 * float(head.weight.numel()) * tokens
