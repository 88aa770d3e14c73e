"""Many adapters of one base, evaluated one after the other in one process: with the base kept, and loaded anew for each.

    python benchmarks/bench_adapters.py [--shape 135m|57m] [--adapters 6] [--examples 24]

The base is a random Llama in a folder of its own (57M parameters, or the shape of SmolLM2-135M), the adapters are LoRA of
rank 8 on all linear layers. "ready" is until the model with its adapter can be used, "evaluated" is with the bits per
byte of some examples. Values of both ways are compared bit for bit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from side_by_side import limit_threads, time_ways

from selbench.api import Context, ModelRef
from selbench.kept_model import borrowed_model, forget_model
from selbench.libraries import quiet
from selbench.models import load_model

SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    "57m": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 16, "num_attention_heads": 8},
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
}


def make_base(folder: Path, shape: str) -> ModelRef:
    """A random model over bytes; its table of tokens is as large as that of SmolLM2, or 4,096 rows for other shapes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    vocabulary = 49_152 if shape == "135m" else 4_096
    config = LlamaConfig(**SHAPES[shape], vocab_size=vocabulary, tie_word_embeddings=True, max_position_embeddings=2048)
    LlamaForCausalLM(config).save_pretrained(folder)
    return ModelRef(name=shape, path=str(folder), template="plain")


def make_adapters(base: ModelRef, folder: Path, count: int) -> list[ModelRef]:
    import torch
    from peft import LoraConfig, get_peft_model

    found = []
    for number in range(count):
        torch.manual_seed(number)
        network = get_peft_model(load_model(base, device="cpu"), LoraConfig(r=8, target_modules="all-linear"))
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.normal_(0, 0.05)
        network.save_pretrained(folder / str(number))
        found.append(dataclasses.replace(base, adapter=str(folder / str(number))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tiny model, to see whether it runs at all")
    parser.add_argument("--shape", choices=[*SHAPES], default="135m")
    parser.add_argument("--adapters", type=int, default=6)
    parser.add_argument("--examples", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="measure processor time, for a busy machine")
    options = parser.parse_args()
    limit_threads(options.threads)
    from selbench_plugins.suites.response_loss import ResponseLoss

    with tempfile.TemporaryDirectory() as away, quiet():
        base = make_base(Path(away, "base"), "tiny" if options.quick else options.shape)
        adapters = make_adapters(base, Path(away), options.adapters)
        rows = [{"instruction": f"say {i}", "output": "a word and another " * 6} for i in range(options.examples)]
        held_out = Path(away, "held_out.jsonl")
        held_out.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        suite = ResponseLoss(sets={"held_out": str(held_out)})

        def ready(ref: ModelRef) -> None:
            with borrowed_model(ref):
                pass

        values: dict[str, list[float]] = {}

        def each(work: Callable[[ModelRef], object], keep: bool) -> Callable[[], None]:
            def way() -> None:
                forget_model()
                for ref in adapters:
                    work(ref)
                    if not keep:
                        forget_model()

            return way

        def evaluated(name: str) -> Callable[[ModelRef], None]:
            return lambda ref: values.setdefault(name, []).append(suite.evaluate(ref, Context())[0].value)

        for ref in adapters:  # files are read once before anything is timed
            ready(ref)
        ways = {
            "ready, base kept": each(ready, True),
            "ready, loaded anew": each(ready, False),
            "evaluated, base kept": each(evaluated("kept"), True),
            "evaluated, loaded anew": each(evaluated("anew"), False),
        }
        print(f"{options.adapters} adapters of {base.name}, seconds for all of them")
        time_ways({name: ways[name] for name in ways if name.startswith("ready")}, "ready, base kept", options)
        time_ways({name: ways[name] for name in ways if name.startswith("eval")}, "evaluated, base kept", options)
    if values["kept"] != values["anew"]:
        sys.exit("the values differ")
    print(f"{len(values['kept'])} values of both ways are equal, bit for bit.")


if __name__ == "__main__":
    main()
