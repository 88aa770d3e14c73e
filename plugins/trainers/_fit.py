"""One fine-tuning with TRL, as one process does it: alone, or as one of several that `accelerate launch` has started."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from selbench_plugins.trainers._accelerate import recomputed_by_fsdp
from selbench_plugins.trainers._checkpoints import checkpoint_callback, latest_checkpoint, steps_done
from selbench_plugins.trainers._order import Plan
from selbench_plugins.trainers._quantization import bits_and_bytes
from selbench_plugins.trainers._sft import Batches, sft_trainer_class

from selbench.api import ModelRef, UserError
from selbench.data.chat import Encoded
from selbench.models import load_model
from selbench.placement import resolved_dtype


@dataclass(frozen=True)
class Task:
    """What is to be learnt: the same in every process."""

    options: Any  # the trainer `trl`
    model: ModelRef  # to start from
    rows: Sequence[Encoded]
    plan: Plan
    seed: int
    checkpoints: Path  # where they are written, and looked for
    result: Path  # the folder of the tuned model or adapter


@dataclass(frozen=True)
class Fitted:
    """What came of it, besides the files in `Task.result`, which the first process writes."""

    loss: float  # the mean over the steps
    parameters: int  # of the network, an adapter included


def fit(
    task: Task,
    tokenizer: Any,
    shown: Callable[[Sequence[np.ndarray]], Iterable[np.ndarray]],
    say: Callable[[int, float], None] | None = None,
) -> Fitted:
    """Train on all steps of the plan that no checkpoint has done, and write the result.

    Args:
        task: what is to be learnt.
        tokenizer: saved with the result; rows are padded with its padding token.
        shown: the steps that are left, shown as progress while they are iterated over.
        say: where there are several processes, called after each step with the number of steps done and the step's loss.

    Raises UserError if training diverged.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, ProgressCallback

    options = task.options
    # First of all: it makes the processes know each other, and how a model is to be loaded that they divide.
    arguments = sft_config(task)
    processes, process = arguments.world_size, arguments.process_index
    network = _load_network(task, arguments)
    before = latest_checkpoint(task.checkpoints, processes if options.sharded else None)
    batches = Batches(
        task.rows,
        shown(task.plan.steps[steps_done(before) :]),
        len(task.plan.steps),
        pad=tokenizer.pad_token_id,
        most=options.micro_batch_size,
        device=arguments.device.type,
        process=process,
        processes=processes,
    )
    run = sft_trainer_class()(
        batches,
        model=network,
        args=arguments,
        # TRL requires a data set; the examples come from `batches`.
        train_dataset=Dataset.from_dict({"row": range(len(task.rows))}),
        processing_class=tokenizer,
        peft_config=lora_config(options),
    )
    parameters = sum(map(_size, run.model.parameters()))
    _draw_apart(task.seed, process)
    # transformers would print losses and draw a bar of its own; `shown` is the one bar there is.
    run.remove_callback(PrinterCallback)
    run.remove_callback(ProgressCallback)
    keeper = checkpoint_callback()(run, before, options.sharded, say)
    run.add_callback(keeper)
    run.train(resume_from_checkpoint=str(before) if before else None)
    loss = keeper.total() / len(task.plan.steps)
    if not math.isfinite(loss):
        raise UserError(f"training diverged (loss {loss}): lower trainer.learning_rate={options.learning_rate}.")
    _save_result(run, task, tokenizer)
    return Fitted(loss, parameters)


def tuned_model(task: Task) -> ModelRef:
    """The reference to what `fit` has written: an adapter of its base, or a model."""
    folder = str(task.result)
    if _adapter_apart(task):
        return dataclasses.replace(task.model, adapter=folder)
    return dataclasses.replace(task.model, path=folder, revision=None, adapter=None, template="chat")


def precision_in_force(options: Any, model: ModelRef) -> str:
    """What `precision` is in force: auto depends on the model's dtype, which is in the key, not on the device."""
    if options.precision != "auto":
        return str(options.precision)
    return "float32" if resolved_dtype(model.dtype) == "float32" and options.quantization == "none" else "mixed"


def sft_config(task: Task) -> Any:
    """The options as TRL has them; made in a process of `accelerate launch`, it joins the others."""
    import torch
    from trl import SFTConfig

    options, steps = task.options, len(task.plan.steps)
    cuda = torch.cuda.is_available()
    paged: dict[str, Any] = {"optim": "paged_adamw_32bit"} if options.optimizer == "paged_adamw" else {}
    arguments = SFTConfig(
        output_dir=str(task.checkpoints),
        seed=task.seed % 2**32,
        num_train_epochs=1,  # the plan spans all epochs
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.schedule,
        # Rounded down, so that a short training has steps after the warmup.
        warmup_steps=int(options.warmup_ratio * steps),
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        gradient_checkpointing=options.gradient_checkpointing and not recomputed_by_fsdp(options),
        bf16=cuda and precision_in_force(options, task.model) == "mixed",
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
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,  # buffers hold constants, such as the frequencies of rotary positions
        **paged,
    )
    # One process uses one device: `processes` says over how many a fine-tuning goes, Hydra's launcher spreads a grid.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def lora_config(options: Any) -> Any:
    """PEFT's configuration of the adapter; None for full fine-tuning."""
    if not options.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=options.lora_targets,
        task_type="CAUSAL_LM",
    )


def _load_network(task: Task, arguments: Any) -> Any:
    import torch

    options = task.options
    # Frozen weights need no float32 copy.
    frozen = options.precision == "auto" and precision_in_force(options, task.model) == "mixed" and options.lora_rank
    low = options.precision == "bfloat16" or (frozen and torch.cuda.is_available()) or options.quantization != "none"
    ref = dataclasses.replace(task.model, dtype="bfloat16" if low else "float32", device_map=None)
    # A model that is divided goes to the devices piece by piece, when the trainer prepares it.
    device = "cpu" if options.sharded else str(arguments.device)
    return load_model(ref, device=device, quantization=bits_and_bytes(options.quantization))


def _draw_apart(seed: int, process: int) -> None:
    """Let dropout draw other numbers in each further process: their examples differ, and so should their masks."""
    import torch

    if process:
        torch.manual_seed((seed + process) % 2**32)


def _size(parameter: Any) -> int:
    """The numbers in a parameter; one of 4 bits holds two in each byte, and DeepSpeed's stage 3 leaves an empty one."""
    size = int(getattr(parameter, "ds_numel", 0) or parameter.numel())
    return size * 2 if type(parameter).__name__ == "Params4bit" and parameter.element_size() == 1 else size


def _adapter_apart(task: Task) -> bool:
    """Whether an adapter is written by itself: where the model has one already, both are merged into it, because a
    ModelRef names one adapter."""
    return bool(task.options.lora_rank) and not task.model.adapter


def _save_result(run: Any, task: Task, tokenizer: Any) -> None:
    """Write the tuned network with its tokenizer, by the first process alone."""
    # What is divided is put together by all processes.
    whole = run.accelerator.get_state_dict(run.model_wrapped) if task.options.sharded else None
    tuned = run.accelerator.unwrap_model(run.model, keep_torch_compile=False)
    if run.accelerator.is_main_process:
        if task.options.lora_rank and not _adapter_apart(task):
            tuned = tuned.merge_and_unload()
        tuned.save_pretrained(task.result, **({"state_dict": whole} if whole is not None else {}))
        tokenizer.save_pretrained(task.result)
    run.accelerator.wait_for_everyone()
