"""TRL's SFTTrainer with less padding and without per-step metrics and data preparation, which slow down small models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from selbench_plugins.trainers._order import split_by_length

from selbench.data.chat import Encoded

# The overhead of one more forward pass, in tokens. The figure for a CPU was measured on two cores; that for a GPU is
# larger because a GPU works best on few, large passes.
PASS_COST = {"cpu": 128, "cuda": 4096}


class Batches:
    """The trainer's data loader: one item per optimizer step, a list of padded forward passes.

    There is no attention mask: rows are padded on the right, so under causal attention no real token can see
    padding, and attention keeps its fast causal path.
    """

    def __init__(
        self, rows: Sequence[Encoded], steps: Iterable[np.ndarray], count: int, *, pad: int, most: int, device: str
    ) -> None:
        self.rows, self.steps, self.count = rows, steps, count
        self.pad, self.most, self.cost = pad, most, PASS_COST[device]
        self.lengths = np.asarray([len(row.ids) for row in rows])

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for step in self.steps:
            parts = split_by_length(self.lengths[step], most=self.most, cost=self.cost)
            yield [self._padded([self.rows[position] for position in step[part]]) for part in parts]

    def _padded(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        import torch

        shape = len(rows), max(len(row.ids) for row in rows)
        ids, labels = np.full(shape, self.pad, np.int64), np.full(shape, -100, np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = row.ids
            labels[i, : len(row.ids)] = np.where(row.in_loss, row.ids, -100)
        return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}


@cache
def sft_trainer_class() -> type:
    """The trainer class, defined on demand because TRL takes seconds to import."""
    from torch.nn.functional import cross_entropy
    from trl import SFTTrainer

    class LengthGroupedSFTTrainer(SFTTrainer):
        """Trains on `Batches`: the loss of a step is the mean over all its response tokens, however the step is cut."""

        # `compute_loss` divides by the tokens of the whole step, so transformers must not divide the loss once more.
        loss_is_scaled_for_ga = True  # type: ignore[assignment]

        def __init__(self, batches: Batches, **options: Any) -> None:
            super().__init__(**options)
            self.batches = batches

        def _send_telemetry(self) -> None:
            """Sends nothing: no usage data leaves the machine."""

        def get_train_dataloader(self) -> Batches:  # type: ignore[override]
            return self.batches

        def floating_point_ops(self, inputs: Any) -> int:
            """Always 0: `Trl.train` estimates the operations from the tokens, and counting them costs time every step."""
            return 0

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            """The loss of one optimizer step; `inputs` is one item of `Batches`."""
            count = sum(int((part["labels"][:, 1:] != -100).sum()) for part in inputs)
            trainer: Any = super()  # the libraries leave its methods untyped
            return sum(trainer.training_step(model, part, count) for part in inputs)

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The losses of the pass's response tokens over `num_items_in_batch`, the response tokens of the whole step.

            SFTTrainer's entropy and token accuracy are left out.
            """
            labels = inputs["labels"]
            if labels.is_cuda:
                # TRL's fused head never stores the logits, which take most memory with a large vocabulary.
                outputs = model(**inputs, use_cache=False, fused_lm_head=True)
                return -outputs.log_probs.sum() / num_items_in_batch
            # Logits are computed only where some row of the pass has a label: the head is a large part of a small model.
            kept = (labels[:, 1:] != -100).any(0).nonzero().flatten()
            outputs = model(input_ids=inputs["input_ids"], use_cache=False, logits_to_keep=kept)
            losses = cross_entropy(outputs.logits.flatten(0, 1).float(), labels[:, kept + 1].flatten(), reduction="sum")
            return losses / num_items_in_batch

    return LengthGroupedSFTTrainer
