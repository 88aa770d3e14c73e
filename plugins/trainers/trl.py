"""Supervised fine-tuning with TRL."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from selbench_plugins.trainers._checkpoints import checkpoint_callback, latest_checkpoint, steps_done
from selbench_plugins.trainers._order import Plan, plan_steps
from selbench_plugins.trainers._sft import Batches, sft_trainer_class

from selbench.api import Context, Example, ModelRef, UserError, trainer
from selbench.data.chat import Encoded, encode
from selbench.libraries import own_randomness, quiet
from selbench.models import (
    load_model,
    load_tokenizer,
    plain_is_shorter,
    resolved_dtype,
    template_name,
    training_context,
)

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

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "tokens", "learning_rate", "batch_size", "micro_batch_size"):
            if not getattr(self, name) > 0:
                raise UserError(f"trainer.{name}={getattr(self, name)} must be above 0.")
        if not 0 <= self.warmup_ratio < 1:
            raise UserError(f"trainer.warmup_ratio={self.warmup_ratio} must be at least 0 and below 1.")
        if self.lora_rank < 0:
            raise UserError(f"trainer.lora_rank={self.lora_rank} must be 0 (full fine-tuning) or more.")

    def train(self, examples: Sequence[Example], model: ModelRef, context: Context) -> ModelRef:
        """Fine-tune `model` on `examples`; the result is in `context.scratch / "model"`.

        Raises UserError if no example has a token of its response within the length limit, or if training diverges.
        """
        with quiet(), own_randomness(context.seed):
            tokenizer = load_tokenizer(model)
            kept, rows = self._encode_examples(examples, tokenizer, model, context)
            network = self._load_network(model)
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
            tuned, loss = self._fit_plan(network, tokenizer, rows, plan, context, self._precision(model))
            seen = np.concatenate(plan.steps)
            tokens_seen = np.asarray([len(row.ids) for row in rows])[seen].sum()
            context.log(
                # Kaplan et al. 2020: 2 per parameter and token forward, 2 for activations and 2 for weights backward;
                # frozen weights need no gradient of their own.
                flops=(4.0 if self.lora_rank else 6.0) * sum(p.numel() for p in tuned.parameters()) * tokens_seen,
                steps=len(plan.steps),
                epochs=plan.epochs,
                trained_examples=len(np.unique(seen)),
                response_tokens_seen=tokens[seen].sum(),
                tokens_seen=tokens_seen,
                train_loss=loss,
            )
            return self._save_result(tuned, tokenizer, model, context.scratch / "model")

    def _load_network(self, model: ModelRef) -> Any:
        import torch

        # Frozen weights need no float32 copy.
        frozen = self.precision == "auto" and self._precision(model) == "mixed" and self.lora_rank
        low = self.precision == "bfloat16" or (frozen and torch.cuda.is_available())
        return load_model(dataclasses.replace(model, dtype="bfloat16" if low else "float32"))

    def _precision(self, model: ModelRef) -> str:
        """What `precision` is in force: auto depends on the model's dtype, which is in the key, not on the device."""
        if self.precision != "auto":
            return self.precision
        return "float32" if resolved_dtype(model.dtype) == "float32" else "mixed"

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

    def _fit_plan(
        self,
        network: Any,
        tokenizer: PreTrainedTokenizerBase,
        rows: Sequence[Encoded],
        plan: Plan,
        context: Context,
        precision: str,
    ) -> tuple[Any, float]:
        """The tuned network and the mean training loss after all steps of the plan. Raises UserError if it diverged."""
        from datasets import Dataset
        from transformers import PrinterCallback, ProgressCallback

        folder = context.checkpoint or context.scratch / "model"
        before = latest_checkpoint(folder)
        batches = Batches(
            rows,
            context.progress(plan.steps[steps_done(before) :], "fine-tuning"),
            len(plan.steps),
            pad=tokenizer.pad_token_id,
            most=self.micro_batch_size,
            device=network.device.type,
        )
        run = sft_trainer_class()(
            batches,
            model=network,
            args=self._sft_config(len(plan.steps), context.seed, folder, precision),
            # TRL requires a data set; the examples come from `batches`.
            train_dataset=Dataset.from_dict({"row": range(len(rows))}),
            processing_class=tokenizer,
            peft_config=self._lora_config(),
        )
        # transformers would print losses and draw a bar of its own; `context.progress` shows the one bar there is.
        run.remove_callback(PrinterCallback)
        run.remove_callback(ProgressCallback)
        keeper = checkpoint_callback()(run, before)
        run.add_callback(keeper)
        run.train(resume_from_checkpoint=str(before) if before else None)
        loss = keeper.total() / len(plan.steps)
        if not math.isfinite(loss):
            raise UserError(f"training diverged (loss {loss}): lower trainer.learning_rate={self.learning_rate}.")
        return run.accelerator.unwrap_model(run.model, keep_torch_compile=False), loss

    def _sft_config(self, steps: int, seed: int, folder: Path, precision: str) -> Any:
        import torch
        from trl import SFTConfig

        cuda = torch.cuda.is_available()
        arguments = SFTConfig(
            output_dir=str(folder),
            seed=seed % 2**32,
            num_train_epochs=1,  # the plan spans all epochs
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            lr_scheduler_type=self.schedule,
            # Rounded down, so that a short training has steps after the warmup.
            warmup_steps=int(self.warmup_ratio * steps),
            weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm,
            gradient_checkpointing=self.gradient_checkpointing,
            bf16=cuda and precision == "mixed",
            use_cpu=not cuda,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            save_strategy="no",  # the callback of _checkpoints decides when
            save_total_limit=2,
            ignore_data_skip=True,  # after an interruption, `batches` starts at the first step that is not done
            logging_strategy="no",
            logging_nan_inf_filter=False,  # transformers would replace NaN by the mean so far and hide that a run diverged
            report_to="none",
            disable_tqdm=True,
        )
        # One run uses one device; Hydra's launcher spreads a grid over devices.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        return arguments

    def _lora_config(self) -> Any:
        if not self.lora_rank:
            return None
        from peft import LoraConfig

        return LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.lora_targets,
            task_type="CAUSAL_LM",
        )

    def _save_result(self, tuned: Any, tokenizer: PreTrainedTokenizerBase, model: ModelRef, folder: Path) -> ModelRef:
        """Write the tuned network with its tokenizer. An adapter of a model without one is written by itself, unmerged."""
        apart = self.lora_rank and not model.adapter
        if self.lora_rank and not apart:
            tuned = tuned.merge_and_unload()  # a ModelRef names one adapter, and `model` has one already
        tuned.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if apart:
            return dataclasses.replace(model, adapter=str(folder))
        return dataclasses.replace(model, path=str(folder), revision=None, adapter=None, template="chat")
