"""TRL's SFTTrainer with less padding and without per-step metrics and data preparation, which slow down small models.

It trains in one process or in several: the passes of a step are shared out, and the loss is the mean over the response
tokens of the whole step, not of one process's share.
"""

from __future__ import annotations

import contextlib
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
    """The trainer's data loader: for each optimizer step, this process's padded forward passes and the step's tokens.

    Each pass of a step is dealt out row by row, so all processes make the same number of passes, which their collective
    operations require. A process that gets no row of a pass makes it with one token that is not in the loss.

    There is no attention mask: rows are padded on the right, so under causal attention no real token can see
    padding, and attention keeps its fast causal path.

    Args:
        rows: all examples of the training.
        steps: for each optimizer step, the positions of its examples in `rows`, those of all processes.
        count: how many steps the whole training has, those before a resumption included.
        pad: the token that rows are padded with.
        most: the largest number of rows in a pass of one process.
        device: "cpu" or "cuda".
        process: the number of this process, from 0.
        processes: how many processes share each step.
    """

    def __init__(
        self,
        rows: Sequence[Encoded],
        steps: Iterable[np.ndarray],
        count: int,
        *,
        pad: int,
        most: int,
        device: str,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.rows, self.steps, self.count = rows, steps, count
        self.pad, self.most, self.cost = pad, most, PASS_COST[device]
        self.process, self.processes = process, processes
        self.lengths = np.asarray([len(row.ids) for row in rows])
        # Without the first token, which a causal model does not predict.
        self.tokens = np.asarray([int(row.in_loss[1:].sum()) for row in rows])

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[list[dict[str, Any]], int]]:
        for step in self.steps:
            parts = split_by_length(
                self.lengths[step], most=self.most * self.processes, cost=self.cost * self.processes
            )
            mine = [step[part][self.process :: self.processes] for part in parts]
            yield [self._padded([self.rows[i] for i in share]) for share in mine], int(self.tokens[step].sum())

    def _padded(self, rows: Sequence[Encoded]) -> dict[str, Any]:
        import torch

        shape = max(1, len(rows)), max([1, *(len(row.ids) for row in rows)])
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
            """The loss of one optimizer step; `inputs` is one item of `Batches`.

            In several processes it is this process's share of the loss times their number: its mean over the processes is
            the loss.
            """
            passes, count = inputs
            trainer: Any = super()  # the libraries leave its methods untyped
            loss: Any = 0
            for number, part in enumerate(passes, 1):
                with self._gradients_of_pass(model, last=number == len(passes)):
                    loss = loss + trainer.training_step(model, part, count)
            return loss

        def _gradients_of_pass(self, model: Any, last: bool) -> Any:
            """The context of one pass: gradients are exchanged between processes after the last pass of the step."""
            if self.accelerator.num_processes == 1:
                return contextlib.nullcontext()
            # DeepSpeed is told so, and takes its step inside `backward` of the last pass.
            self.accelerator.gradient_state._set_sync_gradients(last)
            # With FSDP every pass exchanges them, because unsharded gradients would take the memory of a whole model.
            each = last or self.is_fsdp_enabled or self.is_deepspeed_enabled
            return contextlib.nullcontext() if each else self.accelerator.no_sync(model)

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The losses of the pass's response tokens over `num_items_in_batch`, the response tokens of the whole step.

            Times the number of processes, over which gradients are averaged. SFTTrainer's entropy and token accuracy are
            left out.
            """
            labels, processes = inputs["labels"], self.accelerator.num_processes
            # A pass without a row has one token and nothing for the fused head to do.
            if labels.is_cuda and labels.shape[1] > 1:
                # TRL's fused head never stores the logits, which take most memory with a large vocabulary.
                outputs = model(**inputs, use_cache=False, fused_lm_head=True)
                return -outputs.log_probs.sum() * processes / num_items_in_batch
            # Logits are computed only where some row of the pass has a label: the head is a large part of a small model.
            kept = (labels[:, 1:] != -100).any(0).nonzero().flatten()
            outputs = model(input_ids=inputs["input_ids"], use_cache=False, logits_to_keep=kept)
            losses = cross_entropy(outputs.logits.flatten(0, 1).float(), labels[:, kept + 1].flatten(), reduction="sum")
            return losses * processes / num_items_in_batch

    return LengthGroupedSFTTrainer
