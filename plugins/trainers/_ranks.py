"""A fine-tuning in several processes: `accelerate launch` starts them, and one log has what they say.

What is to be learnt goes to them through files in the folder `ranks` of `context.scratch`, and what came of it comes back
the same way. The processes are `_rank_worker`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from selbench_plugins.trainers._accelerate import launch_config
from selbench_plugins.trainers._fit import Fitted, Task
from selbench_plugins.trainers._order import Plan
from selbench_plugins.trainers._tool_process import ToolProcess

from selbench.api import Context, ModelRef, UserError
from selbench.data.chat import Encoded
from selbench.placement import gpu_is_here

WORKER = "selbench_plugins.trainers._rank_worker"
LOG = "ranks.log"
# Files in the folder of the processes.
ABOUT, ROWS, OUTCOME, FAILURE, CONFIG = "task.json", "rows.npz", "outcome.json", "failure-{}.txt", "accelerate.yaml"
KILLED = re.compile(r"rank +: (\d+) .*\n +exitcode +: -\d+ \(pid: \d+\) +\((SIG(?!TERM)\w+)\)")
LINES = 12  # of a process's failure, in an error message


def fit_in_processes(task: Task, context: Context) -> Fitted:
    """`_fit.fit` in `processes` processes.

    Raises UserError, with what the process that failed first has said, if one of them fails.
    """
    folder, kept = context.scratch / "ranks", context.checkpoint or context.scratch
    folder.mkdir(parents=True, exist_ok=True)
    write_task(task, folder)
    (folder / CONFIG).write_text(yaml.safe_dump(launch_config(task.options)))
    words = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(folder / CONFIG)]
    words += ["--module", WORKER, str(folder)]
    tool = ToolProcess(words, _environment(task.options.processes), kept / LOG, None)
    with contextlib.closing(tool.lines()) as lines:
        shown = context.progress(lines, f"fine-tuning in {task.options.processes} processes")
        for line in shown:
            if hasattr(shown, "set_postfix_str"):  # the bar of a terminal
                shown.set_postfix_str(line[-80:])
    outcome = json.loads((folder / OUTCOME).read_text()) if (folder / OUTCOME).is_file() else {}
    if message := outcome.get("error"):
        raise UserError(message)
    if failed := tool.failure():
        who = f"trainer 'trl': `accelerate launch` of {task.options.processes} processes {failed}."
        raise UserError(f"{who} {_killed(kept / LOG) or _first_failure(folder) or tool.tail()}")
    return Fitted(**outcome)


def write_task(task: Task, folder: Path) -> None:
    """Write the task for the processes: options and model as JSON, examples and steps as arrays."""
    options = task.options
    about = {
        "trainer": [type(options).__module__, type(options).__qualname__],
        "options": {item.name: getattr(options, item.name) for item in dataclasses.fields(options)},
        "model": {name: value for name, value in dataclasses.asdict(task.model).items() if name != "stated"},
        "seed": task.seed,
        "checkpoints": str(task.checkpoints.resolve()),
        "result": str(task.result.resolve()),
        "epochs": task.plan.epochs,
    }
    (folder / ABOUT).write_text(json.dumps(about))
    np.savez(
        folder / ROWS,
        ids=np.concatenate([row.ids for row in task.rows]),
        roles=np.concatenate([row.roles for row in task.rows]),
        lengths=np.asarray([len(row.ids) for row in task.rows]),
        steps=np.concatenate(task.plan.steps),
        sizes=np.asarray([len(step) for step in task.plan.steps]),
    )


def read_task(folder: Path, options: Any, about: dict[str, Any]) -> Task:
    """What `write_task` wrote; `about` is the content of its JSON file."""
    with np.load(folder / ROWS) as arrays:
        ends, cuts = np.cumsum(arrays["lengths"])[:-1], np.cumsum(arrays["sizes"])[:-1]
        pairs = zip(np.split(arrays["ids"], ends), np.split(arrays["roles"], ends))
        rows = [Encoded(ids, roles) for ids, roles in pairs]
        steps = tuple(np.split(arrays["steps"], cuts))
    return Task(
        options,
        ModelRef(**about["model"]),
        rows,
        Plan(steps, about["epochs"]),
        about["seed"],
        Path(about["checkpoints"]),
        Path(about["result"]),
    )


def _environment(processes: int) -> dict[str, str]:
    import torch

    env = dict(os.environ)
    # Each process takes its share of the threads that this one may use.
    env["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // processes))
    if not gpu_is_here() and sys.platform == "linux":
        env.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine, whatever its name resolves to
    return env


def _killed(log: Path) -> str:
    """Which process was ended by a signal, by the summary of torchrun at the end of the log; the others lost it. Empty if none.

    SIGTERM is what torchrun itself ends the others with.
    """
    found = KILLED.search(log.read_text(errors="replace"))
    if not found:
        return ""
    memory = "; the system does that where memory has run out" if found[2] == "SIGKILL" else ""
    return f"Process {found[1]} was ended by {found[2]}{memory}. The log: {log}"


def _first_failure(folder: Path) -> str:
    """What the process said that failed first; the others fail because they lose it. Empty if none said anything."""
    files = sorted(folder.glob(FAILURE.format("*")), key=lambda file: file.stat().st_mtime_ns)
    if not files:
        return ""
    number = files[0].stem.rpartition("-")[2]
    lines = files[0].read_text().rstrip().splitlines()[-LINES:]
    return f"Process {number} failed first:\n" + "\n".join(f"    {line}" for line in lines)
