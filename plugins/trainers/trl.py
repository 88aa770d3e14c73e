"""Supervised fine-tuning with TRL."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from selbench_plugins.trainers._accelerate import config_identity, divided_by, require_devices
from selbench_plugins.trainers._fit import Task, fit, tuned_model
from selbench_plugins.trainers._order import plan_steps
from selbench_plugins.trainers._quantization import require_quantization
from selbench_plugins.trainers._ranks import fit_in_processes

from selbench.api import Context, Example, ModelRef, UserError, trainer
from selbench.data.chat import Encoded, encode
from selbench.libraries import own_randomness, quiet
from selbench.models import load_tokenizer, plain_is_shorter, template_name, training_context

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@trainer("trl")
class Trl:
    """Supervised fine-tuning with TRL's SFTTrainer, loss on the responses only; full, or LoRA with lora_rank > 0.

    An epoch is ordered by a hash of seed, epoch and example id, so arms under one seed train on their common examples
    in the same relative order. A checkpoint is written every ten minutes, and an interrupted fine-tuning resumes from
    it.

    Options:
        match: which amount of training is equal between arms: epochs (passes over the selected examples), steps
            (optimizer steps of `batch_size` examples), or tokens (response tokens in the loss, with the token that
            closes a response; training ends with the example that reaches the number). With tokens, an arm with long
            responses makes fewer passes.
        epochs: for match=epochs: how many passes, fractions allowed.
        steps: for match=steps: how many optimizer steps.
        tokens: for match=tokens: how many response tokens.
        learning_rate: the highest rate, reached after the warmup.
        batch_size: examples per optimizer step, over all devices.
        micro_batch_size: the largest number of examples in one forward pass. A step is cut into passes of examples of
            similar length, which changes the speed and not what is learnt.
        schedule: the schedule of the learning rate, by its name in transformers.
        warmup_ratio: the share of the steps in which the learning rate rises.
        weight_decay: the weight decay of AdamW.
        max_grad_norm: gradients with a larger norm are scaled down to this norm.
        max_length: the longest example, in tokens, where it is to be lower than the model's max_length. Longer ones are
            cut on the right, and dropped if no token of the response is left.
        gradient_checkpointing: activations are computed twice, which saves memory and costs time.
        precision: mixed = float32 weights with arithmetic in bfloat16 (on a CPU all float32); bfloat16 = weights in
            bfloat16 too; auto = float32 where the model's dtype is float32 (as dtype=auto is on a CPU), else mixed,
            on a GPU with bfloat16 weights under an adapter.
        lora_rank: the rank of the LoRA adapter; 0 tunes all weights.
        lora_alpha: the adapter is scaled by lora_alpha / lora_rank.
        lora_dropout: the dropout on the adapter's input.
        lora_targets: the modules that get an adapter: all-linear, or a regular expression that their names match.
        quantization: nf4 = the frozen weights under an adapter take 4 bits (QLoRA); requires a GPU and bitsandbytes.
        optimizer: adamw, or paged_adamw, whose state moves to main memory while the GPU's is full (bitsandbytes).
        processes: how many processes train, each on a GPU of its own, or on a share of the CPU; `accelerate launch` starts
            them. They share the examples of each step: batch_size stays that of a step.
        sharding: what is divided over the processes: none = each has a whole copy; fsdp and deepspeed_zero3 = weights,
            gradients and optimizer; deepspeed_zero2 = gradients and optimizer.
        accelerate: in place of sharding, a config file of yours for `accelerate launch`.
    """

    match: Literal["epochs", "steps", "tokens"] = "epochs"
    epochs: float = 3.0
    steps: int = 1000
    tokens: int = 1_000_000
    learning_rate: float = 2e-5
    batch_size: int = 32
    micro_batch_size: int = 32
    schedule: str = "cosine"
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int | None = None
    gradient_checkpointing: bool = False
    precision: Literal["auto", "float32", "mixed", "bfloat16"] = "auto"
    lora_rank: int = 0
    lora_alpha: int = 16
    lora_dropout: float = 0.05
    lora_targets: str = "all-linear"
    quantization: Literal["none", "nf4"] = "none"
    optimizer: Literal["adamw", "paged_adamw"] = "adamw"
    processes: int = 1
    sharding: Literal["none", "fsdp", "deepspeed_zero2", "deepspeed_zero3"] = "none"
    accelerate: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "tokens", "learning_rate", "batch_size", "micro_batch_size", "processes"):
            if not getattr(self, name) > 0:
                raise UserError(f"trainer.{name}={getattr(self, name)} must be above 0.")
        if not 0 <= self.warmup_ratio < 1:
            raise UserError(f"trainer.warmup_ratio={self.warmup_ratio} must be at least 0 and below 1.")
        if self.lora_rank < 0:
            raise UserError(f"trainer.lora_rank={self.lora_rank} must be 0 (full fine-tuning) or more.")

    @property
    def sharded(self) -> bool:
        """Whether the model is divided over the processes."""
        return self.divided_by != "none"

    @property
    def divided_by(self) -> str:
        """What divides the model over the processes: none, fsdp, deepspeed_zero2 or deepspeed_zero3."""
        return divided_by(self)

    def check(self, model: ModelRef) -> None:
        """Raises UserError for what cannot work on this machine: devices, packages, options that exclude each other."""
        require_devices(self, model)
        require_quantization(self, model)

    def identity(self) -> dict[str, Any]:
        """The options that can change the model by more than the order in which numbers are added.

        The number of processes counts only with dropout, which draws other numbers in each; what divides the model counts,
        because each kind computes in mixed precision in its own way. Of a config file its content counts.
        """
        options = dataclasses.asdict(self)
        processes, file = options.pop("processes"), options.pop("accelerate")
        for name in ("sharding", "quantization", "optimizer"):
            if options[name] == getattr(type(self), name):
                del options[name]
        if processes > 1 and self.lora_rank and self.lora_dropout:
            options["processes"] = processes
        if file:
            options["accelerate"] = config_identity(file)
        return options

    def train(self, examples: Sequence[Example], model: ModelRef, context: Context) -> ModelRef:
        """Fine-tune `model` on `examples`; the result is in `context.scratch / "model"`.

        Raises UserError if no example has a token of its response within the length limit, if training diverges, or if a
        process of several fails.
        """
        self.check(model)
        with quiet(), own_randomness(context.seed):
            tokenizer = load_tokenizer(model)
            kept, rows = self._encode_examples(examples, tokenizer, model, context)
            # Without the first token, which a causal model does not predict.
            tokens = np.asarray([int(row.in_loss[1:].sum()) for row in rows])
            plan = plan_steps(
                [example.id for example in kept],
                tokens,
                batch_size=self.batch_size,
                seed=context.seed,
                match=self.match,
                amount=getattr(self, self.match),
            )
            result = context.scratch / "model"
            task = Task(self, model, rows, plan, context.seed, context.checkpoint or result, result)
            if self.processes > 1 or self.accelerate:
                fitted = fit_in_processes(task, context)
            else:
                fitted = fit(task, tokenizer, lambda steps: context.progress(steps, "fine-tuning"))
        seen = np.concatenate(plan.steps)
        tokens_seen = np.asarray([len(row.ids) for row in rows])[seen].sum()
        context.log(
            # Kaplan et al. 2020: 2 per parameter and token forward, 2 for activations and 2 for weights backward;
            # frozen weights need no gradient of their own.
            flops=(4.0 if self.lora_rank else 6.0) * fitted.parameters * tokens_seen,
            steps=len(plan.steps),
            epochs=plan.epochs,
            trained_examples=len(np.unique(seen)),
            response_tokens_seen=tokens[seen].sum(),
            tokens_seen=tokens_seen,
            train_loss=fitted.loss,
        )
        return tuned_model(task)

    def _encode_examples(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerBase,
        model: ModelRef,
        context: Context,
    ) -> tuple[list[Example], list[Encoded]]:
        longest = training_context(model, self.max_length)
        rows = encode(examples, tokenizer, max_length=longest.tokens)
        # The model does not predict the first token, so an example with a label only there has no loss.
        pairs = [(example, row) for example, row in zip(examples, rows) if row.in_loss[1:].any()]
        context.log(truncated_examples=sum(row.truncated for row in rows), dropped_examples=len(rows) - len(pairs))
        if not pairs:
            template = template_name(model, tokenizer.chat_template)
            raise UserError(
                f"none of the {len(rows)} examples has any response left within {longest.tokens} tokens "
                f"({longest.limit}; template {template}): nothing to train on; {longest.advice(plain_is_shorter(tokenizer))}."
            )
        return [example for example, _ in pairs], [row for _, row in pairs]
