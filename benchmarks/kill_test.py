"""A sweep killed at random moments, each time followed by the same command: is anything lost, half done or done twice?
Then the same command several times at once: is anything done twice?

    python benchmarks/kill_test.py [--kills 100] [--at-once 8] [--seed 0]

Toy plugins, so that a kill falls as often between two files as into the work. Each trial has an output folder of its
own, up to three kills, and a last command that is left alone. Processes are forked with all modules loaded: a kill
hits the sweep and not Python's start.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from helpers import toy_runs

GRID = ["selector=base,random,longest", "budget=0.1,0.25"]
CELLS, RUNS = 6, 1 + 2 + 2
MOST = 3  # kills of one trial


@dataclass
class Outcome:
    """One trial: how many kills hit a live process, and what is wrong afterwards."""

    kills: int
    problems: list[str]


def command(settings: list[str], log: Path) -> int:
    """`selbench -m ...` in a process of its own, which is forked: its id."""
    child = os.fork()
    if child:
        return child
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    status = 70
    try:
        from selbench.cli.main import run

        status = run(["-m", *settings, *GRID])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def finish(settings: list[str], log: Path) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(command(settings, log), 0)[1])


def board(outputs: Path) -> list[dict[str, str]]:
    """The last leaderboard, without times."""
    last = max((outputs / "reports").glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    with last.open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows]


def trial(
    settings: list[str], outputs: Path, lasts: float, rng: random.Random, expected: list[dict[str, str]]
) -> Outcome:
    """Kill, again and again, then let the same command finish."""
    log, kills = outputs.with_suffix(".log"), 0
    for _ in range(rng.randint(1, MOST)):
        child = command(settings, log)
        time.sleep(rng.uniform(0, lasts))
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    status = finish(settings, log)
    problems = [f"exit status {status}"] if status else []
    return Outcome(kills, problems + wrong(outputs, expected))


def at_once(settings: list[str], outputs: Path, count: int, expected: list[dict[str, str]]) -> list[str]:
    """Start the command so often at the same time; what is wrong after all have ended."""
    log = outputs.with_suffix(".log")
    children = [command(settings, log) for _ in range(count)]
    bad = sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)
    said = log.read_text().count("waiting for process")
    print(f"{count} at once: waited for another {said} times")
    return ([f"{bad} of {count} failed"] if bad else []) + wrong(outputs, expected)


def wrong(outputs: Path, expected: list[dict[str, str]]) -> list[str]:
    from selbench.store.files import read_json
    from selbench.store.inventory import entries
    from selbench.store.records import Records
    from selbench.store.stages import EXECUTED, MANIFEST, verify

    found = []
    if board(outputs) != expected:
        found.append("another leaderboard")
    records = Records(outputs / "runs").all()
    if len(records) != RUNS:
        found.append(f"{len(records)} records instead of {RUNS}")
    executed = [json.loads(line)["key"] for line in (outputs / "store" / EXECUTED).read_text().splitlines()]
    if twice := {key for key in executed if executed.count(key) > 1}:
        found.append(f"{len(twice)} stages done twice")
    for entry in entries(outputs / "store", records):
        if entry.state in ("left behind", "unfinished"):
            found.append(f"{entry.path} {entry.state}")
        elif entry.state == "whole" and (problem := verify(entry.path, read_json(entry.path / MANIFEST))):
            found.append(f"{entry.path}: {problem}")
    return found


def trials(kills: int, together: int, seed: int, folder: Path) -> list[Outcome]:
    """As many trials as it takes for so many kills, and one with so many processes at once."""
    import pandas  # noqa: F401
    import transformers  # noqa: F401

    import selbench.cli.grid
    import selbench.report.leaderboard
    import selbench.run.carry_out
    import selbench.tracking.mirror  # noqa: F401

    model, pool = toy_runs.toy_model(folder / "model"), toy_runs.toy_pool(folder)
    reference = folder / "reference"
    for _ in range(2):  # the first warms up what is compiled or cached
        shutil.rmtree(reference, ignore_errors=True)
        start = time.perf_counter()
        status = finish(toy_runs.toy_settings(model, pool, reference), folder / "reference.log")
        lasts = time.perf_counter() - start
        assert status == 0, (folder / "reference.log").read_text()
    expected, rng, done = board(reference), random.Random(seed), []
    while sum(outcome.kills for outcome in done) < kills:
        outputs = folder / f"trial{len(done)}"
        done.append(trial(toy_runs.toy_settings(model, pool, outputs), outputs, lasts, rng, expected))
        if not done[-1].problems:
            shutil.rmtree(outputs)
    outputs = folder / "together"
    done.append(Outcome(0, at_once(toy_runs.toy_settings(model, pool, outputs), outputs, together, expected)))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-test-"))
    start = time.perf_counter()
    done = trials(options.kills, options.at_once, options.seed, folder)
    bad = [outcome for outcome in done if outcome.problems]
    print(
        f"{sum(o.kills for o in done)} kills in {len(done)} trials of {CELLS} cells, {time.perf_counter() - start:.0f} s"
    )
    for outcome in bad:
        print("  " + "; ".join(outcome.problems))
    print(f"trials with anything lost, half done or done twice: {len(bad)}" + (f" (see {folder})" if bad else ""))
    if not bad:
        shutil.rmtree(folder)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
