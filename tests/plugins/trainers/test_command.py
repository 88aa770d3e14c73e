"""The trainer `command`: what it gives a tool, what it makes of what the tool leaves, and what it refuses beforehand."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selbench_plugins.trainers.command import Command

from selbench.api import Context, Example, ModelRef, UserError
from selbench.models import load_tokenizer
from selbench.run.output_change import output_change
from selbench.store.keys import plugin_identity
from selbench.testing.subject import default_scorer

TOOL = Path(__file__).parents[2] / "helpers" / "odd_tool.py"
BASIC = ["--data={data}", "--model={model}", "--output={output}", "--seed={seed}"]
EXAMPLES = [
    Example("a", "say red", "red", system="be short", history=(("hello", "hi"),)),
    Example("b", "add", "five", input="2 and 3"),
]


def tool(mode: str, *more: str, **options: Any) -> Command:
    return Command(command=["{python}", str(TOOL), mode, *BASIC, *more], **options)


@pytest.fixture(scope="module")
def base() -> ModelRef:
    return default_scorer()


def train(trainer: Command, base: ModelRef, folder: Path, seed: int = 1) -> tuple[ModelRef, Context]:
    """The result of a training in a new folder of `folder`; checkpoints and log stay in its folder `kept`."""
    scratch = folder / f"scratch{len(list(folder.iterdir()))}"
    scratch.mkdir()
    (folder / "kept").mkdir(exist_ok=True)
    context = Context(seed=seed, scratch=scratch, checkpoint=folder / "kept")
    return trainer.train(EXAMPLES, base, context), context


def failed(trainer: Command, base: ModelRef, folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        train(trainer, base, folder)
    return str(raised.value)


# ------------------------------------------------------------------------------------- what the tool is given


def test_the_tool_gets_examples_config_files_seed_and_environment(base: ModelRef, tmp_path: Path) -> None:
    folder = tmp_path / "a folder with blanks"
    folder.mkdir()
    trainer = tool(
        "reports",
        "--config={config}",
        f"--note={folder}/{{name}}.json",
        "--epochs={epochs}",
        config={"lr": "{learning_rate}", "seed": "{seed}", "data": "{data}", "deep": [{"text": "{examples} rows"}]},
        files={"dataset_info.json": {"selection": {"seed": "{seed}"}}, "notes.txt": "{{seed}} is {seed}"},
        values={"name": "my note"},
        env={"MY_SEED": "{seed}"},
        learning_rate=2e-5,
    )
    train(trainer, base, folder, seed=7)
    note = json.loads((folder / "my note.json").read_text())
    assert note["options"]["seed"] == "7" and note["options"]["epochs"] == "3"
    assert note["env"]["MY_SEED"] == "7" and note["env"]["HOME"] == os.environ["HOME"]
    assert note["rows"][0]["messages"] == [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "say red"},
        {"role": "assistant", "content": "red"},
    ]


def test_config_and_files_are_yaml_or_json_with_numbers(base: ModelRef, tmp_path: Path) -> None:
    import yaml

    read = (
        "import pathlib, sys, runpy; out = pathlib.Path(sys.argv[1]); out.write_text(pathlib.Path(sys.argv[2]).read_text());"
        f"sys.argv = [r'{TOOL}', 'several', *sys.argv[3:]]; runpy.run_path(r'{TOOL}')"
    )
    words = ["{python}", "-c", read, str(tmp_path / "seen"), "{config}", *BASIC]
    config = tmp_path / "mine.json"
    config.write_text('{"seed": "{seed}", "kept": 1, "lr": 5}')
    for name, load in (("c.yaml", yaml.safe_load), ("c.json", json.loads)):
        trainer = Command(
            command=words,
            config_file=str(config),
            config={"lr": "{learning_rate}", "from": "{resume}"},
            config_name=name,
        )
        _, context = train(trainer, base, tmp_path)
        found = load((tmp_path / "seen").read_text())
        assert found == {"seed": 1, "kept": 1, "lr": 2e-5, "from": None}
        assert (context.scratch / name).is_file()  # kept with the model


def test_data_forms(base: ModelRef, tmp_path: Path) -> None:
    seen = {}
    for form in ("alpaca", "sharegpt", "messages"):
        train(tool("reports", f"--note={tmp_path}/note", data=form), base, tmp_path)
        seen[form] = json.loads((tmp_path / "note").read_text())["rows"][0]
    assert (seen["alpaca"]["output"], seen["alpaca"]["history"]) == ("red", [["hello", "hi"]])
    assert [turn["from"] for turn in seen["sharegpt"]["conversations"]] == ["system", "human", "gpt", "human", "gpt"]
    assert seen["messages"]["messages"][0] == {"role": "system", "content": "be short"}


# ------------------------------------------------------------------------------- what is made of what it leaves


def test_a_full_model_is_kept_with_its_log_and_nothing_else(base: ModelRef, tmp_path: Path) -> None:
    tuned, context = train(tool("several"), base, tmp_path)
    assert tuned.path == str(context.scratch / "model") and tuned.adapter is None
    assert sorted(path.name for path in context.scratch.iterdir()) == ["model", "tool.log"]
    assert not (context.scratch / "model" / "optimizer.pt").exists()
    assert (context.scratch / "tool.log").read_text() == "2 rows, seed 1\n"
    assert context.logged["tool_s"] > 0
    change = output_change(base, tuned, EXAMPLES)
    assert change and change > 0.01


def test_the_newest_of_several_checkpoints_counts(base: ModelRef, tmp_path: Path) -> None:
    last, _ = train(tool("several"), base, tmp_path)
    named, _ = train(tool("several", checkpoint="checkpoint-9"), base, tmp_path)
    matched, _ = train(tool("several", checkpoint="checkpoint-*"), base, tmp_path)
    changes = [output_change(base, model, EXAMPLES) for model in (last, named, matched)]
    assert changes[0] == changes[2] != changes[1]
    message = failed(tool("several", checkpoint="final"), base, tmp_path)
    assert "trainer.checkpoint=final" in message and "checkpoint-10/config.json" in message


def test_seeds_reach_the_tool(base: ModelRef, tmp_path: Path) -> None:
    models = [train(tool("without_tokenizer"), base, tmp_path, seed)[0] for seed in (1, 1, 2)]
    changes = [output_change(base, model, EXAMPLES) for model in models]
    assert changes[0] == changes[1] != changes[2]
    # The tool has saved no tokenizer: the model has that of its base.
    assert load_tokenizer(models[0]).get_vocab() == load_tokenizer(base).get_vocab()


@pytest.mark.slow
def test_an_adapter_is_loaded_with_its_base(base: ModelRef, tmp_path: Path) -> None:
    tuned, context = train(tool("adapter"), base, tmp_path)
    assert (tuned.path, tuned.adapter) == (base.path, str(context.scratch / "model"))
    change = output_change(base, tuned, EXAMPLES)
    assert change and np.isfinite(change)
    assert "an adapter, where trainer.result=full" in failed(tool("adapter", result="full"), base, tmp_path)
    assert "a full model, where trainer.result=adapter" in failed(tool("copies", result="adapter"), base, tmp_path)


def test_a_copy_of_the_base_is_told_as_unchanged(base: ModelRef, tmp_path: Path) -> None:
    tuned, _ = train(tool("copies"), base, tmp_path)
    assert output_change(base, tuned, EXAMPLES) == 0.0


# ----------------------------------------------------------------------------------------------- what goes wrong


def test_a_failure_shows_the_end_of_the_log_without_secrets(
    base: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-123456789")
    message = failed(tool("fails"), base, tmp_path)
    assert "ended with exit status 3" in message and str(tmp_path / "kept" / "tool.log") in message
    lines = [line.strip() for line in message.splitlines()[1:]]
    assert lines == ["2 rows, seed 1", "step 199", "the key is ***", "RuntimeError: the optimizer fell over"]
    assert "sk-123456789" not in (tmp_path / "kept" / "tool.log").read_text()


def test_a_tool_that_is_killed(base: ModelRef, tmp_path: Path) -> None:
    assert "was ended by SIGKILL" in failed(tool("dies"), base, tmp_path)


def test_a_tool_that_writes_no_model(base: ModelRef, tmp_path: Path) -> None:
    message = failed(tool("nothing"), base, tmp_path)
    assert "has left no model" in message and "notes.txt" in message and "2 rows, seed 1" in message


@pytest.mark.parametrize(
    ("mode", "reason"), [("truncated", "Error"), ("prefixed", "of its weights are not in its files")]
)
def test_a_model_that_does_not_load(base: ModelRef, tmp_path: Path, mode: str, reason: str) -> None:
    message = failed(tool(mode), base, tmp_path)
    assert "cannot be loaded" in message and reason in message and "2 rows, seed 1" in message


def test_a_tool_that_hangs_is_ended_with_its_children(base: ModelRef, tmp_path: Path) -> None:
    message = failed(tool("hangs", f"--note={tmp_path}/pids", timeout=5.0), base, tmp_path)
    assert "trainer.timeout=5" in message and "hanging" in message
    _require_ended(tmp_path / "pids")


def _require_ended(note: Path) -> None:
    for pid in map(int, note.read_text().split()):
        for _ in range(100):
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    break
            except (FileNotFoundError, ProcessLookupError):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"process {pid} lives on")


def test_a_tool_that_can_resume_goes_on_from_its_checkpoint(base: ModelRef, tmp_path: Path) -> None:
    trainer = tool("resumes", "--resume={resume}")
    assert "stopped halfway" in failed(trainer, base, tmp_path)
    tuned, context = train(trainer, base, tmp_path)
    assert (
        "going on from" in (context.scratch / "tool.log").read_text()
        and "checkpoint-1" in (context.scratch / "tool.log").read_text()
    )
    whole, _ = train(tool("without_tokenizer"), base, tmp_path)
    assert output_change(base, tuned, EXAMPLES) == output_change(base, whole, EXAMPLES)


def test_a_tool_that_cannot_resume_begins_anew(base: ModelRef, tmp_path: Path) -> None:
    assert "stopped halfway" in failed(tool("resumes"), base, tmp_path)
    assert "stopped halfway" in failed(tool("resumes"), base, tmp_path)
    assert not list((tmp_path / "kept").rglob("checkpoint-*"))


# ------------------------------------------------------------------------------------------- refused beforehand


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": ""}, "has no command"),
        ({"command": "python 'x"}, "No closing quotation"),
        ({"command": ["python", *BASIC, "{sed}"]}, "unknown placeholder 'sed'. Did you mean 'seed'?"),
        ({"command": ["python", *BASIC[:3]]}, "names {seed}"),
        ({"command": ["python", *BASIC[1:]]}, "names {data} or {data_folder}"),
        ({"command": ["no-such-tool", *BASIC]}, "no-such-tool is not on PATH"),
        ({"command": ["./no/such/tool", *BASIC]}, "is not a program"),
        ({"command": ["{python}", "no_such.py", *BASIC]}, "there is no file no_such.py"),
        ({"command": ["{python}", *BASIC, "{config}"]}, "names {config}, but"),
        ({"config": {"a": 1}}, "does not name {config}"),
        ({"config_file": "no.yaml", "command": ["python", *BASIC, "{config}"]}, "config_file=no.yaml cannot be read"),
        (
            {"config": {"a": {"b": {"seed": None}}}, "command": ["python", *BASIC, "{config}"]},
            "trainer.config.a.b: YAML reads {seed} as a mapping",
        ),
        ({"epochs": 5.0}, "trainer.epochs=5.0 has no effect"),
        ({"values": {"seed": 1}}, "a meaning of its own"),
        ({"values": {"mine": 1}}, "values.mine has no effect"),
        ({"values": {"mine": None}, "command": ["python", "{mine}", *BASIC]}, "values.mine is not set"),
        ({"batch_size": 10, "command": ["python", *BASIC, "{accumulation}"]}, "not a multiple of"),
        ({"env": {"HF_TOKEN": "hf_abc"}}, "trainer.env.HF_TOKEN looks like a secret"),
        ({"config": {"hub_token": "hf_abc"}, "command": ["python", *BASIC, "{config}"]}, "config.hub_token looks like"),
        ({"files": {"../up.txt": "x"}}, "is not the name of a further file"),
    ],
    ids=str,
)
def test_refused_before_any_work(base: ModelRef, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        Command(**{"command": [sys.executable, *BASIC], **options}).check(base)
    assert message in str(raised.value)


def test_what_is_no_mistake_is_let_pass(base: ModelRef) -> None:
    Command(command=[sys.executable, *BASIC, '{"json": {"seed": 1}}', "{{braces}}"]).check(base)
    config = {"pad_token": "<pad>", "hub_token": None, "eos_token": "</s>"}
    env = {"TOKENIZERS_PARALLELISM": "false"}
    Command(command=f"{sys.executable} {' '.join(BASIC)} {{config}}", config=config, env=env).check(base)


def test_a_model_with_an_adapter_is_refused(base: ModelRef) -> None:
    with pytest.raises(UserError, match="has an adapter"):
        Command(command=[sys.executable, *BASIC]).check(ModelRef("x", base.path, adapter="/somewhere"))


# ----------------------------------------------------------------------------------------------------------- keys


def test_the_key_holds_the_content_of_files_and_the_version(tmp_path: Path) -> None:
    script, config, package = tmp_path / "train.py", tmp_path / "c.yaml", tmp_path / "package"
    package.mkdir()
    (package / "part.py").write_text("1")
    script.write_text("print(1)")
    config.write_text("a: 1")

    def key(**options: Any) -> str:
        made = Command(
            **{
                "command": ["{python}", str(script), *BASIC],
                "config_file": str(config),
                "code": [str(package)],
                **options,
            }
        )
        return json.dumps(plugin_identity(made), sort_keys=True)

    first = key()
    assert first == key() == key(timeout=7.0)
    assert key(epochs=2.0) != first
    assert key(version_command=["{python}", "-c", "print('v2')"]) != key(version_command=["{python}", "-c", "print(1)"])
    for path in (script, config, package / "part.py"):
        before = path.read_text()
        path.write_text(before + "\n# other: 2\nb: 2" if path is config else before + "2")
        assert key() != first, path
        path.write_text(before)
        assert key() == first
    moved = tmp_path / "moved.py"
    moved.write_text(script.read_text())
    assert key(command=["{python}", str(moved), *BASIC]) == first
    with pytest.raises(UserError, match="version_command: `false` ended with exit status 1"):
        key(version_command="false")


def test_code_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.code: there is no file or folder"):
        Command(command="x", code=[str(tmp_path / "none")]).identity()
