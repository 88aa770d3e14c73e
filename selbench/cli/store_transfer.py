"""`selbench store push|pull URL`: finished runs, stages and sweeps to a bucket or folder, and from there."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from selbench import console
from selbench.cli.options import add_outputs
from selbench.errors import UserError
from selbench.numbers import counted_text, duration_text, size_text

if TYPE_CHECKING:
    from selbench.store.remote import Count
    from selbench.store.transfer import Transfer

SAY_EVERY_S = 30.0  # between two lines of progress, where no bar is drawn


def add_push_and_pull(verbs: Any) -> None:
    """Add the two verbs to the parser of `selbench store`."""
    from selbench.store.choice import Stages

    for verb, text in (
        ("push", "send finished runs, stages and sweeps to s3://, gs:// or file://; what is there is skipped"),
        ("pull", "fetch from there; what is here is skipped, and every file is compared with its checksum"),
    ):
        parser = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        parser.add_argument(
            "url", metavar="URL", help="s3://bucket/folder, gs://bucket/folder, file:///folder or a folder"
        )
        add_outputs(parser)
        parser.add_argument("--comparison", help="only the runs of this comparison")
        parser.add_argument("--sweep", help="only the runs of this sweep; 'latest' is the last one started")
        parser.add_argument(
            "--stages",
            choices=get_args(Stages),
            default="needed",
            help="which stages go with the runs: those that they rest on (needed), none (enough for a leaderboard), or all that "
            "there are (default: needed)",
        )
        parser.add_argument("--dry-run", action="store_true", help="list what would go, with sizes, and change nothing")
        if verb == "push":
            parser.add_argument(
                "--again", action="store_true", help="send also what is there: replaces files that were damaged there"
            )


def push_or_pull(args: argparse.Namespace) -> int:
    """Exit status 1 if something was damaged and so not taken, else 0."""
    from selbench.store.choice import Choice
    from selbench.store.outputs import Outputs
    from selbench.store.remote import Remote
    from selbench.store.transfer import plan_pull, plan_push, pull, push

    outputs, choice = Outputs(args.outputs), Choice(args.comparison, args.sweep, args.stages)
    pushing = args.verb == "push"
    if pushing and not outputs.root.is_dir():
        raise UserError(f"there is no output folder {outputs.root}: name it with --outputs.")
    remote = Remote(args.url)
    plan = plan_push(outputs, remote, choice, args.again) if pushing else plan_pull(outputs, remote, choice)
    if args.dry_run:
        for parcel in plan.todo:
            _print(f"would {args.verb} {_one_word(parcel.kind)} {parcel.title}, {size_text(parcel.bytes)}")
        _print(f"{remote.url}: would {args.verb} {_counts(plan.todo)}, {size_text(plan.bytes)}; {_rest(plan)}")
    else:
        begun = time.monotonic()
        with _progress(plan, args.verb) as count:
            if pushing:
                push(plan, outputs, remote, count, args.again)
            else:
                pull(plan, outputs, remote, count, console.say)
        took = duration_text(time.monotonic() - begun)
        _print(f"{remote.url}: {args.verb}ed {_counts(plan.done)}, {size_text(plan.bytes)} in {took}; {_rest(plan)}")
    for sentence in plan.left_out:
        console.warn(sentence)
    for sentence in plan.damaged:
        console.fail(f"{sentence}. It was not {args.verb}ed.")
    if plan.damaged:
        mend = "selbench store verify" if pushing else "selbench store push --again"
        where = (
            "a run that needs a damaged stage computes it again"
            if pushing
            else "on a machine that has it replaces it there"
        )
        console.say(f"`{mend}` {'lists what is damaged here; ' if pushing else ''}{where}.")
    return 1 if plan.damaged else 0


@contextmanager
def _progress(plan: Transfer, verb: str) -> Iterator[Count]:
    """A function to call with the number of bytes that have gone: a bar on a terminal, elsewhere a line now and then."""
    from tqdm import tqdm

    bar = tqdm(total=plan.bytes, desc=verb, unit="B", unit_scale=True, disable=None, leave=False, file=sys.stderr)
    lock, state = threading.Lock(), {"gone": 0.0, "said": time.monotonic()}

    def count(bytes: int) -> None:
        with lock:
            bar.update(bytes)
            state["gone"] += bytes
            if bar.disable and time.monotonic() - state["said"] > SAY_EVERY_S:
                state["said"] = time.monotonic()
                done = f"{len(plan.done)} of {len(plan.todo)} {verb}ed"
                console.say(f"{done}, {size_text(state['gone'])} of {size_text(plan.bytes)}")

    with bar:
        yield count


def _counts(parcels: list[Any]) -> str:
    kinds = Counter(_one_word(parcel.kind) for parcel in parcels)
    return ", ".join(counted_text(kinds[kind], kind) for kind in ("run", "stage", "sweep") if kinds[kind]) or "nothing"


def _one_word(kind: str) -> str:
    from selbench.store.parcels import RUN, STAGE

    return {RUN: "run", STAGE: "stage"}.get(kind, "sweep")


def _rest(plan: Transfer) -> str:
    return f"{plan.there} of {plan.there + len(plan.todo)} were there already."


def _print(text: str) -> None:
    console.out.print(text, soft_wrap=True, markup=False)
