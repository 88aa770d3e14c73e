"""A fine-tuner that behaves as its first argument says; it moves weights by chance instead of training them, which is quick.

python odd_tool.py MODE --data=FILE --model=FOLDER --output=FOLDER --seed=N [--config=FILE] [--resume=FOLDER]
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

mode, options = sys.argv[1], dict(word[2:].split("=", 1) for word in sys.argv[2:])
rows = [json.loads(line) for line in Path(options["data"]).read_text().splitlines()]
model, output, seed = Path(options["model"]), Path(options["output"]), int(options["seed"])
print(f"{len(rows)} rows, seed {seed}", flush=True)


def save(folder, noise=0.02, rename=lambda name: name, but=()):
    """The base with noise on its weights, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    for path in sorted(model.iterdir()):
        if path.suffix == ".safetensors":
            weights = {
                rename(name): (value + noise * chance.standard_normal(value.shape)).astype(value.dtype)
                for name, value in sorted(load_file(path).items())
            }
            save_file(weights, folder / path.name, metadata={"format": "pt"})
        elif path.is_file() and not path.name.startswith(but or "-"):
            shutil.copyfile(path, folder / path.name)


if mode == "fails":
    save(output)
    for step in range(200):
        print(f"\rstep {step}", end="")
    print("\nthe key is " + os.environ.get("MY_API_KEY", "not there"))
    print("RuntimeError: the optimizer fell over", file=sys.stderr)
    sys.exit(3)
elif mode == "dies":
    os.kill(os.getpid(), 9)
elif mode == "nothing":
    (output / "notes.txt").write_text("done")
elif mode == "truncated":
    save(output)
    weights = output / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
elif mode == "prefixed":
    save(output, rename=lambda name: f"module.{name}")
elif mode == "copies":
    save(output, noise=0.0)
elif mode == "hangs":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(options["note"]).write_text(f"{os.getpid()} {child.pid}")
    print("hanging", flush=True)
    time.sleep(600)
elif mode == "several":  # the last one is the best, and has the state of its training
    for step in (9, 10):
        save(output / f"checkpoint-{step}", noise=0.02 * step)
        (output / f"checkpoint-{step}" / "optimizer.pt").write_bytes(b"0" * 1000)
elif mode == "adapter":
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(model), LoraConfig(r=2, target_modules="all-linear"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.1)
    tuned.save_pretrained(output / "lora")
elif mode == "resumes":  # is stopped once, after its first checkpoint
    if "resume" not in options:
        save(output / "checkpoint-1", noise=0.5)
        print("stopped halfway")
        sys.exit(1)
    (output / "from.txt").write_text(options["resume"])
    print(f"going on from {options['resume']}")
    save(output)
elif mode == "without_tokenizer":
    save(output, but=("tokenizer", "special", "chat"))
elif mode == "reports":
    save(output)
    (Path(options["note"])).write_text(json.dumps({"rows": rows, "options": options, "env": dict(os.environ)}))
else:
    sys.exit(f"no such mode: {mode}")
