"""The config file of `accelerate launch`: made of the trainer's options, or a user's own; and what can be told of it before
anything runs."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from selbench.api import ModelRef, UserError
from selbench.errors import NotAtHand
from selbench.placement import gpu_is_here, gpus_here

# What a config file says of where it runs, and nothing of what is computed.
PLACES = ("num_processes", "main_process_port", "main_process_ip", "gpu_ids", "debug", "enable_cpu_affinity")
# Kinds of training that a config file may ask for, by accelerate's name, and what the weights are divided by.
KINDS = {"NO": "none", "MULTI_GPU": "none", "MULTI_CPU": "none", "FSDP": "fsdp", "DEEPSPEED": "deepspeed"}


def launch_config(options: Any) -> dict[str, Any]:
    """What `accelerate config` would write for the options of the trainer `trl`.

    Raises UserError for a config file of the user's that cannot be read, or that another training than this trainer's needs.
    """
    config = read_config(options.accelerate) if options.accelerate else {**_of_sharding(options), **_PLAIN}
    # 0 lets accelerate find a free port: several trainings on one machine must not meet.
    return {**config, "num_processes": options.processes, "num_machines": 1, "machine_rank": 0, "main_process_port": 0}


_PLAIN = {
    "compute_environment": "LOCAL_MACHINE",
    "mixed_precision": "no",  # the trainer's own option `precision` decides
    "main_training_function": "main",
    "rdzv_backend": "static",
    "same_network": True,
    "debug": False,
    "use_cpu": False,
}


def _of_sharding(options: Any) -> dict[str, Any]:
    if options.sharding == "fsdp":
        config = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_offload_params": False,
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_activation_checkpointing": recomputed_by_fsdp(options),
        }
        return {"distributed_type": "FSDP", "fsdp_config": config}
    if options.sharding.startswith("deepspeed"):
        stage = int(options.sharding[-1])
        config = {
            "zero_stage": stage,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": float(options.max_grad_norm),
            "offload_optimizer_device": "none",
            "offload_param_device": "none",
            **({"zero3_init_flag": True, "zero3_save_16bit_model": True} if stage == 3 else {}),
        }
        return {"distributed_type": "DEEPSPEED", "deepspeed_config": config}
    # accelerate's word for processes that torchrun starts; without a GPU they compute on the CPU.
    return {"distributed_type": "MULTI_GPU"}


def recomputed_by_fsdp(options: Any) -> bool:
    """Whether it is FSDP that computes activations twice, and not transformers, which would gather the weights once more.

    Not under an adapter: FSDP's way gives the modules other names, by which PEFT does not find the adapter's weights.
    """
    return bool(options.gradient_checkpointing and options.sharding == "fsdp" and not options.lora_rank)


def read_config(file: str) -> dict[str, Any]:
    """The content of a config file of accelerate's (YAML, or JSON by its ending). Raises UserError if it is none."""
    path, where = Path(file).expanduser(), f"trainer.accelerate={file}"
    try:
        found = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{where}: the file cannot be read ({error.strerror}).") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{where} is no YAML or JSON: {str(error).splitlines()[0]}.") from None
    kind = found.get("distributed_type", "") if isinstance(found, Mapping) else ""
    kind = "NO" if kind is False else str(kind).upper()  # as YAML reads a NO without quotes
    if kind not in KINDS:
        raise UserError(
            f"{where} has distributed_type={kind or 'nothing'}. Valid: {', '.join(KINDS)} (`accelerate config` writes such "
            "files)."
        )
    found = {**found, "distributed_type": "MULTI_GPU" if KINDS[kind] == "none" else kind}
    if int(found.get("num_machines") or 1) != 1:
        raise UserError(
            f"{where} has num_machines={found['num_machines']}: the trainer 'trl' starts its processes on one machine. For "
            "several, use trainer=torchrun or a launcher of yours (trainer=command)."
        )
    return found


def divided_by(options: Any) -> str:
    """What divides the model over the processes: none, fsdp, deepspeed_zero2 or deepspeed_zero3 (1 and 0 in a user's file)."""
    if not options.accelerate:
        return str(options.sharding)
    config = read_config(options.accelerate)
    kind = KINDS[config["distributed_type"]]
    return f"deepspeed_zero{_stage(config)}" if kind == "deepspeed" else kind


def config_identity(file: str) -> dict[str, Any]:
    """The content of a user's config file that can change what is computed, with that of DeepSpeed's own file."""
    config = read_config(file)
    found = {name: value for name, value in config.items() if name not in PLACES}
    if own := _deepspeed_file(config):
        found["deepspeed_file"] = json.loads(own.read_text())
    return found


def _deepspeed_file(config: Mapping[str, Any]) -> Path | None:
    name = (config.get("deepspeed_config") or {}).get("deepspeed_config_file")
    return Path(name).expanduser() if name else None


def _stage(config: Mapping[str, Any]) -> int:
    own = _deepspeed_file(config)
    if own is None:
        return int((config.get("deepspeed_config") or {}).get("zero_stage", 2))
    try:
        return int(json.loads(own.read_text()).get("zero_optimization", {}).get("stage", 0))
    except (OSError, ValueError, AttributeError):
        raise UserError(f"deepspeed_config_file={own} cannot be read as JSON.") from None


def require_devices(options: Any, model: ModelRef) -> None:
    """Raises UserError if the processes that the options ask for, or what divides the model over them, cannot be had here."""
    if options.accelerate and options.sharding != "none":
        raise UserError(
            f"trainer.sharding={options.sharding} and trainer.accelerate={options.accelerate} both say how the model is "
            "divided: leave one of them out."
        )
    if options.accelerate:
        _require_agreement(options, read_config(options.accelerate))
    kind = divided_by(options)
    asked = f"trainer.accelerate={options.accelerate}" if options.accelerate else f"trainer.sharding={kind}"
    if kind != "none":
        if options.processes < 2:
            raise UserError(
                f"{asked} divides the model over the processes, and there is one: set trainer.processes=2 or more."
            )
        if options.quantization != "none":
            raise UserError(
                f"{asked} and trainer.quantization={options.quantization} cannot be had together: weights of 4 bits are held "
                "whole by each process. Leave one of them out."
            )
        if options.lora_rank and model.adapter:
            raise UserError(
                f"{asked}: model '{model.name}' has an adapter ({model.adapter}), and a second one cannot be merged into it "
                "while the model is divided: merge it into the model first, or set trainer.sharding=none."
            )
        if kind.startswith("deepspeed") and importlib.util.find_spec("deepspeed") is None:
            raise NotAtHand(f"{asked} requires the package deepspeed: pip install deepspeed")
        if not gpu_is_here():
            raise NotAtHand(
                f"{asked} requires GPUs, and there is none here: accelerate divides no model on a CPU. "
                "trainer.processes alone works on a CPU too."
            )
    if options.processes > 1 and gpu_is_here() and options.processes > len(gpus_here()):
        raise NotAtHand(
            f"trainer.processes={options.processes} requires as many GPUs, one for each process, and this process has "
            f"{len(gpus_here())}. Under hydra/launcher=processes a cell has one GPU."
        )


def _require_agreement(options: Any, config: Mapping[str, Any]) -> None:
    """Raises UserError where a user's file contradicts the trainer's options, which the key and the plan rest on."""
    where, precision = f"trainer.accelerate={options.accelerate}", str(config.get("mixed_precision") or "no")
    number = config.get("num_processes")
    if number not in (None, -1, options.processes):
        raise UserError(
            f"{where} has num_processes={number}, and trainer.processes={options.processes}: set trainer.processes={number}."
        )
    if precision not in ("no", "bf16") or (precision == "bf16" and options.precision == "float32"):
        raise UserError(
            f"{where} has mixed_precision={precision}, and trainer.precision={options.precision}: the trainer's option decides; "
            "set mixed_precision to no in the file."
        )
    steps = (config.get("deepspeed_config") or {}).get("gradient_accumulation_steps", 1)
    if steps not in (1, "1", "auto"):
        raise UserError(
            f"{where} has gradient_accumulation_steps={steps}: trainer.batch_size is that of a whole step already; set 1."
        )
