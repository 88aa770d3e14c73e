"""`selbench rerun`: runs a recorded run again, from its record alone, and compares the two."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from selbench import console
from selbench.cli.options import add_outputs
from selbench.errors import UserError
from selbench.plugins import plugin_path

if TYPE_CHECKING:
    from selbench.run.again import Rerun
    from selbench.settings import Run
    from selbench.store.records import Record


def main(arguments: list[str]) -> int:
    """Exit status 0 if the same examples were selected and the run ended as recorded, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="selbench rerun",
        description="Run a recorded run again from its record: selection, fine-tuning and evaluation are computed anew in an "
        "empty folder, and the result is compared with the record. The selection must be the same, id by id; differences "
        "between scores are shown. With --here it runs in its own output folder instead, and reuses the stages there.",
        epilog="example: selbench rerun 1ee3; selbench rerun latest/3 --out /tmp/again",
    )
    parser.add_argument("name", metavar="RUN", help="the run's key (or a unique beginning of it), SWEEP/N or latest/N")
    add_outputs(parser)
    parser.add_argument("--here", action="store_true", help="run it in its own output folder, reusing the stages there")
    parser.add_argument("--out", type=Path, metavar="DIR", help="compute in this new folder, and keep it")
    parser.add_argument(
        "settings", nargs="*", metavar="plugin_path=DIR", help="the folder of its plugins, if it has moved"
    )
    args = parser.parse_intermixed_args(arguments)
    if args.here and args.out:
        raise UserError("--here computes in the run's own output folder: leave out --out.")

    from selbench.store.outputs import Outputs

    record = Outputs(args.outputs).find_run(args.name)
    run = recorded_run(record, plugin_path(args.settings))

    from selbench.run.again import changes_since

    for change in changes_since(record, run):
        console.warn(change)
    if args.here:
        return _here(dataclasses.replace(run, output_dir=args.outputs))
    return _anew(record, run, args.outputs, args.out)


def recorded_run(record: Record, folders: list[str]) -> Run:
    """The run that a record's configuration describes, from now on with the commits of the hub that it was made with.

    Raises UserError if it no longer fits the plugins there are.
    """
    from selbench.config.recorded import run_of_record
    from selbench.data.commits import settle

    settle(dataclasses.asdict(one) for one in record.hub)

    axes = record.axes
    selector = (axes.selector_key or axes.selector).partition("(")[
        0
    ]  # selector_key is NAME(OPTIONS); records of before had the same as label
    try:
        return run_of_record(record.config, selector, axes.trainer, folders)
    except UserError as error:
        raise UserError(f"run {record.key} cannot be made from its record: {error}") from error


def _here(run: Run) -> int:
    from selbench.cli.cells import carry_out_and_report

    ended = carry_out_and_report(run, "", lambda work: None)
    return 0 if ended and ended[0].status != "failed" else 1


def _anew(record: Record, run: Run, outputs: Path, out: Path | None) -> int:
    """Compute it in an empty folder, and compare."""
    from selbench.run.again import rerun_record

    if out and out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty: nothing of an earlier run may be reused.")
    folder = out or Path(tempfile.mkdtemp(prefix="selbench-rerun-"))
    try:
        return _print_outcome(
            rerun_record(record, run, outputs, folder, lambda work: console.say(f"{record.name}: {work}"))
        )
    finally:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)


def _print_outcome(again: Rerun) -> int:
    """Exit status 0 if the same examples were selected and the run ended as recorded, 1 if not."""
    record, (old, new) = again.recorded, again.gpus
    if old != new:
        console.warn(f"the device differs: recorded on {old or 'CPU'}, now on {new or 'CPU'}.")
    if again.new.status != record.status:
        console.fail(f"{record.name}: it {_ended(record)}; now it {_ended(again.new)}")
        return 1
    if again.ids is None:
        _say(f"status      the same: it {_ended(again.new)}")
        return 0
    _say(f"selection   {_selections(*again.ids)}")
    if again.same_selection and again.scores[0] != again.scores[1]:
        _say("            the selector's own scores differ")
    for line in _score_lines(again):
        _say(line)
    return 0 if again.same_selection else 1


def _ended(record: Record) -> str:
    return {"finished": "finished", "skipped": f"was skipped ({record.reason})"}.get(
        record.status, f"failed ({record.reason})"
    )


def _selections(old: list[str], new: list[str]) -> str:
    if old == new:
        return f"identical: {len(new)} ids in the same order"
    common = len(set(old) & set(new))
    if common == len(old) == len(new):
        return f"DIFFERENT: the same {len(new)} ids in another order"
    return f"DIFFERENT: {common} of {len(old)} recorded ids selected again, {len(new) - common} others"


def _score_lines(again: Rerun) -> Iterator[str]:
    """Every score that differs, and how many items do."""
    for suite, mean, now in again.headlines():
        yield f"score       {suite} {mean:.6g}, now {now:.6g} ({now - mean:+.2g})"
    items = f"; {again.items[1]} of {again.items[0]} items differ" if again.items else ""
    count, other = len(again.recorded.scores), again.changed_scores()
    if not other:
        yield f"scores      identical: {count} of {count}{items}"
        return
    yield f"scores      {count - len(other)} of {count} identical{items}"
    for row, value in other:
        said = "not measured" if value is None else f"now {value:.6g}"
        yield f"            {row.task} {row.metric}: {row.value:.6g}, {said}"


def _say(line: str) -> None:
    console.out.print(line, soft_wrap=True, markup=False, emoji=False, highlight=False)
