"""The trainer `trl` in several processes: the same losses and weights as in one, and no process that is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from selbench_plugins.trainers import _accelerate, _ranks
from selbench_plugins.trainers._sft import Batches, sft_trainer_class
from selbench_plugins.trainers.trl import Trl

from selbench.api import Context, Example, ModelRef, UserError
from selbench.data.chat import RESPONSE, Encoded
from selbench.models import load_model
from selbench.testing.subject import default_scorer

TESTS = Path(__file__).parents[2]
WORDS = ["red", "green", "blue", "one", "two", "three"]
# Responses of 1 to 16 words: the shares of the two processes have very different numbers of tokens.
EXAMPLES = [
    Example(id=f"e{i}", instruction=f"say {WORDS[i % 5]}", response=" ".join(WORDS[i % 4 :] * (i % 3 + 1) ** (i % 2)))
    for i in range(11)
]


def weights(ref: ModelRef) -> dict[str, torch.Tensor]:
    return load_model(ref, device="cpu").state_dict()


def furthest(one: ModelRef, other: ModelRef) -> float:
    a, b = weights(one), weights(other)
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def curve(context: Context) -> list[float]:
    """The losses that the first process of several has said."""
    log = (context.checkpoint or context.scratch) / _ranks.LOG
    return [float(found) for found in re.findall(r"^step \d+ of \d+, loss (.+)$", log.read_text(), re.M)]


def one_process(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[ModelRef, Context, list[float]]:
    """The tuned model, what was logged, and the loss of each step."""
    losses: list[float] = []
    step = sft_trainer_class().training_step

    def noted(self: Any, *args: Any) -> Any:
        loss = step(self, *args)
        losses.append(float(loss))
        return loss

    monkeypatch.setattr(sft_trainer_class(), "training_step", noted)
    context = Context(seed=1)
    tuned = Trl(**options).train(EXAMPLES, default_scorer(), context)
    monkeypatch.undo()
    return tuned, context, losses


@pytest.mark.parametrize(
    "options",
    [
        # Steps of 3 and of 2 examples, several passes in each, and gradients that are scaled down.
        dict(
            match="tokens", tokens=90, batch_size=3, micro_batch_size=1, max_grad_norm=0.05, gradient_checkpointing=True
        ),
        # The second process never has an example.
        dict(match="steps", steps=4, batch_size=1, lora_rank=2, lora_dropout=0.0),
    ],
    ids=["full", "adapter"],
)
def test_two_processes_learn_what_one_learns(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    options = {"learning_rate": 1e-3, **options}
    alone, said, losses = one_process(monkeypatch, **options)
    context = Context(seed=1)
    both = Trl(processes=2, **options).train(EXAMPLES, default_scorer(), context)
    assert curve(context) == pytest.approx(losses, abs=2e-5) and len(losses) >= 4
    assert context.logged == pytest.approx(said.logged, abs=1e-5)
    moved = furthest(alone, default_scorer())
    assert furthest(alone, both) < moved / 50 and moved > 1e-4
    assert (both.adapter is None) == (alone.adapter is None)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"lora_rank": 2, "lora_dropout": 0.0}], ids=["full", "adapter"])
@pytest.mark.parametrize("sharding", ["fsdp", "deepspeed_zero2", "deepspeed_zero3"])
def test_a_model_that_is_divided_learns_the_same(
    monkeypatch: pytest.MonkeyPatch, sharding: str, options: dict[str, Any]
) -> None:
    options = dict(match="steps", steps=4, batch_size=3, learning_rate=1e-3, micro_batch_size=1, **options)
    if sharding == "fsdp":
        options["gradient_checkpointing"] = True
        monkeypatch.setattr(_ranks, "WORKER", "helpers.divided_on_cpu")
        monkeypatch.setenv("PYTHONPATH", str(TESTS))
    else:
        pytest.importorskip("deepspeed", reason="deepspeed is not installed: dividing a model with it is not tested")
        monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setattr(_accelerate, "gpu_is_here", lambda: True)
    monkeypatch.setattr(_accelerate, "gpus_here", lambda: ["0", "1"])
    context = Context(seed=1)
    both = Trl(processes=2, sharding=sharding, **options).train(EXAMPLES, default_scorer(), context)
    monkeypatch.undo()
    alone, _, losses = one_process(monkeypatch, **options)
    assert curve(context) == pytest.approx(losses, rel=1e-5)
    assert furthest(alone, both) < furthest(alone, default_scorer()) / 50


@pytest.mark.parametrize("how", ["raises", pytest.param("killed", marks=pytest.mark.slow)])
def test_a_process_that_breaks_off_ends_the_training_which_then_goes_on_from_its_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    options: dict[str, Any] = dict(match="steps", steps=6, batch_size=2, learning_rate=1e-3)
    trainer = Trl(processes=2, **options)
    kept = tmp_path / "kept"
    kept.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(_ranks, "WORKER", "helpers.broken_rank")
        patch.setenv("PYTHONPATH", str(TESTS))
        patch.setenv("BREAKS", how)
        first = Context(seed=1, checkpoint=kept)
        with pytest.raises(UserError) as raised:
            trainer.train(EXAMPLES, default_scorer(), first)
        assert not left_of(first.scratch)
    said = str(raised.value)
    assert "`accelerate launch` of 2 processes ended with exit status 1" in said
    assert (
        ("the second process has had enough" in said) if how == "raises" else ("Process 1 was ended by SIGKILL" in said)
    )
    again = Context(seed=1, checkpoint=kept)
    resumed = trainer.train(EXAMPLES, default_scorer(), again)
    assert re.search(r"goes on after step [23] of 6", (kept / _ranks.LOG).read_text())
    assert len(curve(again)) in (3, 4)
    expected, straight, _ = one_process(monkeypatch, **options)
    assert furthest(resumed, expected) < furthest(expected, default_scorer()) / 50
    assert again.logged == pytest.approx(straight.logged, abs=1e-5)


def left_of(scratch: Path) -> list[int]:
    """The processes that name a folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(scratch) in words:
            found.append(int(path.parent.name))
    return [number for number in found if number != os.getpid()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a process learns on Linux alone that its parent was killed")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_when_selbench_is_ended(tmp_path: Path, number: int) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from selbench_plugins.trainers import _ranks; from selbench_plugins.trainers.trl import Trl\n"
        "from selbench.api import Context, Example; from selbench.testing.subject import default_scorer\n"
        "_ranks.WORKER = 'helpers.broken_rank'\n"
        "examples = [Example(str(i), 'say red', 'red') for i in range(20)]\n"
        f"Trl(processes=2, match='steps', steps=9).train(examples, default_scorer(), Context(scratch=Path({str(tmp_path)!r})))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(TESTS), "BREAKS": "hangs"}
    selbench = subprocess.Popen([sys.executable, "-c", program], env=env, stderr=subprocess.DEVNULL)
    log = tmp_path / _ranks.LOG
    until(lambda: log.is_file() and "step 3 of" in log.read_text(), 120)
    ranks = left_of(tmp_path / "ranks")
    assert len(ranks) >= 3  # the launcher and two processes
    selbench.send_signal(number)
    selbench.wait(30)
    until(lambda: not any(alive(rank) for rank in ranks), 30)


def alive(number: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def until(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.2)


# ------------------------------------------------------------------------------------- the shares of a step


def rows_of(lengths: list[int]) -> list[Encoded]:
    roles = np.full(40, RESPONSE)
    return [Encoded(np.full(length, 100 + i), roles[:length]) for i, length in enumerate(lengths)]


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_processes_share_a_step_without_gap_or_repetition(processes: int) -> None:
    rows = rows_of([3, 30, 4, 9, 5, 31, 8])
    steps = [np.array([0, 1, 2, 3]), np.array([6, 5, 4]), np.array([2])]
    each = [
        list(Batches(rows, steps, 3, pad=0, most=1, device="cpu", process=process, processes=processes))
        for process in range(processes)
    ]
    for number, step in enumerate(steps):
        shares, tokens = zip(*(one[number] for one in each))
        assert set(tokens) == {sum(len(rows[i].ids) - 1 for i in step)}
        # Collective operations require the same number of passes in all processes.
        assert len({len(share) for share in shares}) == 1
        seen = [int(row[0]) - 100 for share in shares for part in share for row in part["input_ids"]]
        assert sorted(row for row in seen if row >= 0) == sorted(step)
        assert all(len(part["input_ids"]) == 1 for share in shares for part in share)
        idle = [part for share in shares for part in share if part["input_ids"][0, 0] == 0]
        assert all((part["labels"] == -100).all() for part in idle)
