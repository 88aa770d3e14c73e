"""A sweep is killed at random moments and started again: is anything lost, half done or done twice?
Then the same sweep is started several times at once: is anything done twice?

    python benchmarks/kill_test.py [--kills 100] [--at-once 8] [--seed 0]

Each trial has its own output folder, up to three kills, and a last command that may finish. The plugins are toys, so that
a kill hits the writing of files as often as the work. Processes are forked with all modules loaded, so that it hits the
sweep and not the start of Python.
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
MOST = 3  # largest number of kills in one trial


@dataclass
class Outcome:
    """The outcome of one trial."""

    kills: int  # how many hit a live process
    problems: list[str]  # what is wrong after the last command, in words


def start_sweep(settings: list[str], log: Path) -> int:
    """Start `selbench -m ...` in a forked process that writes to `log`; return the id of the process."""
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


def finish_sweep(settings: list[str], log: Path) -> int:
    """Run the sweep to its end; return its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(start_sweep(settings, log), 0)[1])


def last_leaderboard(outputs: Path) -> list[dict[str, str]]:
    """The rows of the last leaderboard, without the columns of times."""
    last = max((outputs / "reports").glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    with last.open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows]


def kill_trial(
    settings: list[str], outputs: Path, lasts: float, rng: random.Random, expected: list[dict[str, str]]
) -> Outcome:
    """Start and kill the sweep one to MOST times, then let the same command finish.

    `lasts` is how long a whole sweep takes, in seconds; `expected` is its leaderboard.
    """
    log, kills = outputs.with_suffix(".log"), 0
    for _ in range(rng.randint(1, MOST)):
        child = start_sweep(settings, log)
        time.sleep(rng.uniform(0, lasts))
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    status = finish_sweep(settings, log)
    problems = [f"exit status {status}"] if status else []
    return Outcome(kills, problems + problems_in(outputs, expected))


def start_at_once(settings: list[str], outputs: Path, count: int, expected: list[dict[str, str]]) -> list[str]:
    """Start the sweep `count` times at once; return what is wrong after all have ended, in words."""
    log = outputs.with_suffix(".log")
    children = [start_sweep(settings, log) for _ in range(count)]
    bad = sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)
    said = log.read_text().count("waiting for process")
    print(f"{count} at once: waited for another {said} times")
    return ([f"{bad} of {count} failed"] if bad else []) + problems_in(outputs, expected)


def problems_in(outputs: Path, expected: list[dict[str, str]]) -> list[str]:
    """What is wrong with an output folder after a finished sweep, in words."""
    from selbench.store.files import read_json
    from selbench.store.inventory import entries
    from selbench.store.records import Records
    from selbench.store.stages import EXECUTED, MANIFEST, verify

    found = []
    if last_leaderboard(outputs) != expected:
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


def all_trials(kills: int, together: int, seed: int, folder: Path) -> list[Outcome]:
    """Trials until `kills` kills have hit, and then one with `together` processes at once."""
    # Imported here so that every forked process has these modules loaded.
    import pandas  # noqa: F401
    import transformers  # noqa: F401

    import selbench.cli.grid
    import selbench.report.leaderboard
    import selbench.run.carry_out
    import selbench.tracking.mirror  # noqa: F401

    model, pool = toy_runs.toy_model(folder / "model"), toy_runs.toy_pool(folder)
    reference = folder / "reference"
    for _ in range(2):  # the first sweep fills caches of compiled code; the second is timed
        shutil.rmtree(reference, ignore_errors=True)
        start = time.perf_counter()
        status = finish_sweep(toy_runs.toy_settings(model, pool, reference), folder / "reference.log")
        lasts = time.perf_counter() - start
        assert status == 0, (folder / "reference.log").read_text()
    expected, rng, done = last_leaderboard(reference), random.Random(seed), []
    while sum(outcome.kills for outcome in done) < kills:
        outputs = folder / f"trial{len(done)}"
        done.append(kill_trial(toy_runs.toy_settings(model, pool, outputs), outputs, lasts, rng, expected))
        if not done[-1].problems:
            shutil.rmtree(outputs)
    outputs = folder / "together"
    done.append(Outcome(0, start_at_once(toy_runs.toy_settings(model, pool, outputs), outputs, together, expected)))
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills of a live process (default 100)")
    parser.add_argument("--at-once", type=int, default=8, help="sweeps started at the same time (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills (default 0)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-test-"))
    start = time.perf_counter()
    done = all_trials(options.kills, options.at_once, options.seed, folder)
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
