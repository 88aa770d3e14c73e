"""What the trainer `trl` asks of several devices and of 4-bit weights: refused in time, in the key or not, known to the tools."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from selbench_plugins.trainers import _accelerate, _quantization
from selbench_plugins.trainers._accelerate import divided_by, launch_config
from selbench_plugins.trainers._quantization import bits_and_bytes
from selbench_plugins.trainers.trl import Trl

from selbench.api import ModelRef, UserError
from selbench.config.runs import composed
from selbench.planning.memory import training_memory
from selbench.testing.subject import default_scorer

CONF = Path(__file__).resolve().parents[3] / "conf" / "trainer"
LLAMA = {"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16, "vocab_size": 100, "num_attention_heads": 2}


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_accelerate, _quantization):
        monkeypatch.setattr(module, "gpu_is_here", lambda: True)
    monkeypatch.setattr(_accelerate, "gpus_here", lambda: ["0", "1"])


def with_packages(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    plain = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: name in names or plain(name, *more))


def refusal(model: ModelRef | None = None, **options: Any) -> str:
    with pytest.raises(UserError) as raised:
        Trl(**options).check(model or default_scorer())
    return str(raised.value)


# ------------------------------------------------------------------------------------- refused before anything starts


@pytest.mark.parametrize("sharding", ["fsdp", "deepspeed_zero2", "deepspeed_zero3"])
def test_dividing_a_model_requires_gpus_and_several_processes(monkeypatch: pytest.MonkeyPatch, sharding: str) -> None:
    with_packages(monkeypatch, "deepspeed")
    assert "set trainer.processes=2" in refusal(sharding=sharding)
    monkeypatch.setattr(_accelerate, "gpu_is_here", lambda: False)
    assert "requires GPUs, and there is none here" in refusal(sharding=sharding, processes=2)
    Trl(processes=2).check(default_scorer())


def test_what_a_machine_with_gpus_lacks_is_named(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = importlib.util.find_spec
    absent = ("deepspeed", "bitsandbytes")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *m: None if name in absent else plain(name, *m))
    assert "pip install deepspeed" in refusal(processes=2, sharding="deepspeed_zero3")
    assert "pip install bitsandbytes" in refusal(quantization="nf4", lora_rank=8)
    assert "pip install bitsandbytes" in refusal(optimizer="paged_adamw")
    assert "trainer.processes=3 requires as many GPUs" in refusal(processes=3)
    Trl(processes=2, sharding="fsdp").check(default_scorer())


def test_options_that_exclude_each_other_are_refused(two_gpus: None, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("distributed_type: FSDP\nnum_processes: 2\n")
    adapted = dataclasses.replace(default_scorer(), adapter="/a")
    assert "leave one of them out" in refusal(processes=2, sharding="fsdp", accelerate=str(file))
    assert "not trained themselves" in refusal(quantization="nf4")
    assert "trainer.precision=float32 cannot be had" in refusal(quantization="nf4", lora_rank=8, precision="float32")
    assert "merge it into the model first" in refusal(adapted, quantization="nf4", lora_rank=8)
    assert "merge it into the model first" in refusal(adapted, processes=2, sharding="fsdp", lora_rank=8)
    assert "cannot be had together" in refusal(processes=2, sharding="fsdp", quantization="nf4", lora_rank=8)


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (None, {}, "cannot be read"),
        ("a: [", {}, "is no YAML or JSON"),
        ("- a list", {}, "has distributed_type=nothing. Valid: NO, MULTI_GPU"),
        ("distributed_type: XLA", {}, "has distributed_type=XLA"),
        ("distributed_type: FSDP\nnum_machines: 2", {}, "num_machines=2"),
        ("distributed_type: MULTI_GPU\nnum_processes: 4", {"processes": 2}, "set trainer.processes=4"),
        ("distributed_type: NO\nmixed_precision: fp16", {}, "mixed_precision=fp16"),
        ("distributed_type: NO\nmixed_precision: bf16", {"precision": "float32"}, "mixed_precision=bf16"),
        (
            "distributed_type: DEEPSPEED\ndeepspeed_config: {gradient_accumulation_steps: 8}",
            {"processes": 2},
            "gradient_accumulation_steps=8",
        ),
        ("distributed_type: FSDP", {}, "set trainer.processes=2"),
    ],
)
def test_a_config_file_that_cannot_work_is_refused(
    tmp_path: Path, content: str | None, options: dict[str, Any], said: str
) -> None:
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_text(content)
    assert said in refusal(accelerate=str(file), **options)


@pytest.mark.parametrize(
    ("preset", "said"), [("trl_fsdp", "GPUs"), ("trl_zero3", "deepspeed"), ("qlora", "GPU of NVIDIA's")]
)
def test_a_preset_composes_and_is_refused_where_its_hardware_is_missing(preset: str, said: str) -> None:
    (cell,) = composed([f"trainer={preset}"])
    with pytest.raises(UserError, match=said):
        cell.run.trainer.check(cell.run.model)


# ------------------------------------------------------------------------------------- the key


def test_the_number_of_processes_is_in_the_key_only_where_dropout_draws(tmp_path: Path) -> None:
    plain = Trl(lora_rank=4, lora_dropout=0.0).identity()
    assert Trl(lora_rank=4, lora_dropout=0.0, processes=4).identity() == plain
    assert Trl(lora_rank=4, processes=4).identity() != Trl(lora_rank=4).identity()
    assert Trl(processes=4).identity() == Trl().identity()  # without an adapter lora_dropout draws nothing
    assert Trl(sharding="fsdp", processes=2).identity() == Trl(sharding="fsdp", processes=4).identity()
    distinct = [Trl(), Trl(sharding="fsdp"), Trl(quantization="nf4"), Trl(optimizer="paged_adamw")]
    assert len({json.dumps(one.identity(), sort_keys=True) for one in distinct}) == 4


def test_of_a_config_file_its_content_counts_and_not_its_place(tmp_path: Path) -> None:
    one, other, third = (tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml"))
    one.write_text("distributed_type: FSDP\nnum_processes: 2\nfsdp_config: {fsdp_version: 2}\n")
    other.write_text("distributed_type: FSDP\nnum_processes: 8\nfsdp_config: {fsdp_version: 2}\n")
    third.write_text("distributed_type: FSDP\nnum_processes: 2\nfsdp_config: {fsdp_version: 1}\n")
    keys = [Trl(accelerate=str(file)).identity() for file in (one, other, third)]
    assert keys[0] == keys[1] != keys[2]
    assert divided_by(Trl(accelerate=str(one))) == "fsdp"


# ------------------------------------------------------------------------------------- what the tools say of the configs


def preset_options(name: str) -> dict[str, Any]:
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(options, dict)
    bases = options.pop("defaults")
    base = {} if bases[0] == "trl" else preset_options(bases[0])
    return {**base, **{str(key): value for key, value in options.items()}}


@pytest.fixture
def clean_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def launched(options: Trl, folder: Path) -> argparse.Namespace:
    """What `accelerate launch` makes of the config, which its own class has read."""
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(launch_config(options)))
    ClusterConfig.from_yaml_file(str(file))
    parsed, _, _ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", str(file), "--module", "worker"])
    )
    return parsed


@pytest.mark.parametrize("checkpointing", [True, False])
def test_fsdp_is_what_accelerates_plugin_makes_of_the_preset(
    tmp_path: Path, clean_environment: None, checkpointing: bool
) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    options = Trl(**{**preset_options("trl_fsdp"), "gradient_checkpointing": checkpointing})
    parsed = launched(options, tmp_path)
    assert parsed.use_fsdp and parsed.num_processes == 8 and parsed.main_process_port == 0
    os.environ.update(prepare_multi_gpu_env(parsed))
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert plugin.activation_checkpointing is checkpointing and plugin.cpu_ram_efficient_loading is True
    assert plugin.auto_wrap_policy is not None and str(plugin.state_dict_type).endswith("FULL_STATE_DICT")


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_is_what_accelerates_plugin_makes_of_the_options(
    tmp_path: Path, clean_environment: None, stage: int
) -> None:
    """Without the package, its own check of the keys is stood in for by their names in its documentation (config-json)."""
    from accelerate.utils import DeepSpeedPlugin
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    options = Trl(**{**preset_options("trl_zero3"), "sharding": f"deepspeed_zero{stage}", "max_grad_norm": 0.7})
    parsed = launched(options, tmp_path)
    assert parsed.use_deepspeed and parsed.num_processes == 8
    parsed.deepspeed_fields_from_accelerate_config = ""
    os.environ.update(prepare_deepspeed_cmd_env(parsed)[1])
    plugin = DeepSpeedPlugin()
    config = plugin.deepspeed_config
    assert config["zero_optimization"]["stage"] == stage == plugin.zero_stage
    assert config["gradient_clipping"] == 0.7 and config["gradient_accumulation_steps"] in (1, "auto")
    assert plugin.zero3_init_flag is (stage == 3)
    documented = {
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
    }
    documented |= {"zero_optimization", "steps_per_print", "bf16", "fp16", "zero_allow_untested_optimizer"}
    assert set(config) <= documented
    parts = {"stage", "offload_optimizer", "offload_param", "stage3_gather_16bit_weights_on_model_save"}
    assert set(config["zero_optimization"]) <= parts
    if importlib.util.find_spec("deepspeed"):
        from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

        DeepSpeedZeroConfig(**config["zero_optimization"])


def test_qlora_is_what_transformers_makes_of_the_preset() -> None:
    import torch
    from transformers import BitsAndBytesConfig

    options = Trl(**preset_options("qlora"))
    config = bits_and_bytes(options.quantization)
    config.post_init()  # transformers' own check of the types
    again = BitsAndBytesConfig.from_dict(config.to_dict())
    assert again.load_in_4bit and again.bnb_4bit_quant_type == "nf4" and again.bnb_4bit_use_double_quant
    assert again.bnb_4bit_compute_dtype is torch.bfloat16
    assert (options.lora_targets, options.optimizer) == ("all-linear", "paged_adamw")
    assert bits_and_bytes("none") is None


# ------------------------------------------------------------------------------------- memory, by hand


@pytest.fixture
def llama(tmp_path: Path) -> ModelRef:
    """Two blocks of 4 * 8 * 8 + 3 * 8 * 16 = 640 linear weights; embedding and head of 800 each."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return ModelRef(path=str(tmp_path), dtype="float32")


def test_what_is_divided_takes_its_share_of_the_memory(llama: ModelRef) -> None:
    parameters = 2 * 640 + 2 * 800

    def taken(**options: Any) -> tuple[float, float, float]:
        memory = training_memory(Trl(**options), llama, 10, gpu=True)
        assert memory is not None
        return memory.weights, memory.gradients, memory.optimiser

    whole = (4 * parameters, 4 * parameters, 8 * parameters)
    assert taken() == taken(processes=4) == whole
    assert taken(processes=4, sharding="deepspeed_zero2") == (whole[0], whole[1] / 4, whole[2] / 4)
    assert taken(processes=4, sharding="deepspeed_zero3") == tuple(part / 4 for part in whole)
    assert taken(processes=4, sharding="fsdp") == tuple(part / 4 for part in whole)


def test_processes_share_the_batch_and_on_a_cpu_the_memory(llama: ModelRef) -> None:
    trainer = Trl(processes=4, batch_size=10, micro_batch_size=32)
    gpu, cpu, alone = (
        training_memory(one, llama, 10, gpu=gpu)
        for one, gpu in ((trainer, True), (trainer, False), (Trl(batch_size=10), False))
    )
    assert gpu and cpu and alone
    assert gpu.micro_batch == cpu.micro_batch == 3 and alone.micro_batch == 10
    assert (gpu.on_device, cpu.on_device, alone.on_device) == (1, 4, 1)
    assert cpu.fits(4 * cpu.total / 0.94) and not cpu.fits(3 * cpu.total)


def test_four_bits_a_frozen_weight(llama: ModelRef) -> None:
    memory = training_memory(Trl(quantization="nf4", lora_rank=3), llama, 10, gpu=True)
    # 4 bits, an eighth of a bit of 8-bit constants, 32 bits for each 64 * 256 weights: 4.126953125 bits.
    frozen = 2 * 640 * 4.126953125 / 8 + 2 * 800 * 2
    # An adapter on each of the seven layers of a block: four of 8 + 8, three of 8 + 16 inputs and outputs.
    trained = 2 * 3 * (4 * 16 + 3 * 24)
    assert memory is not None
    assert memory.weights == pytest.approx(frozen + 2 * trained)
    assert (memory.gradients, memory.optimiser) == (2 * trained, 4 * trained)
