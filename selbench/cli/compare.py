"""`selbench compare`: two runs, or two arms over their seeds, side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from selbench import console
from selbench.cli.options import add_outputs
from selbench.errors import UserError

if TYPE_CHECKING:
    from selbench.api import Pool
    from selbench.comparison.side_by_side import Comparison


def main(arguments: list[str]) -> int:
    """Print the comparison. The exit status is 0, whichever side is better."""
    args = _parser().parse_args(arguments)
    if args.show < 0:
        raise UserError(f"--show {args.show}: a number from 0.")

    from selbench.comparison.side_by_side import compare_sides
    from selbench.comparison.sides import find_sides
    from selbench.store.outputs import Outputs
    from selbench.tracking.previews import pool_of

    outputs = Outputs(args.outputs)
    records = outputs.records.all()
    if not records:
        raise UserError(f"no record under {outputs.records.root}: name another folder with --outputs.")
    wanted = {name: getattr(args, name) for name in ("comparison", "budget", "model", "suite")}
    a, b = find_sides(records, outputs.run_key(args.a), outputs.run_key(args.b), wanted)
    first = a.records[0]
    among = [record for record in records if record.comparison == first.comparison] if a.seeds != (None,) else []
    pool = pool_of(first)
    found = compare_sides(a, b, args.outputs, among, len(pool) if pool else None, args.suite)
    if args.items:
        _write_items(found, args.items)
    if args.json:
        print(json.dumps(found.plain(), indent=1))
        return 0

    from selbench.comparison.terminal import print_comparison

    print_comparison(found, console.out, args.show, _preview_of(pool))
    if args.items:
        console.say(f"items: {args.items}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="selbench compare",
        description="Compare two runs, or two arms over the seeds that both have: score differences with intervals, per suite "
        "and task; the items whose answers changed; the examples that only one of them selected; costs; settings that differ. "
        "A run is named by its key (the name of its folder under OUTPUTS/runs, or a unique beginning of it) or by its cell, "
        "as latest/3; an arm by its selector.",
        epilog="examples: selbench compare 3f2a 91bc; selbench compare mads random --budget 10% --model planted-1m",
    )
    parser.add_argument("a", metavar="A", help="a run or an arm")
    parser.add_argument("b", metavar="B", help="another one")
    for name, text in (
        ("comparison", "of this comparison"),
        ("budget", "with this budget: 10%% or 0.1, 7800, '50k tok'"),
        ("model", "of this model"),
        ("suite", "and scores of this suite"),
    ):
        parser.add_argument(f"--{name}", help=f"arms: only runs {text}")
    parser.add_argument(
        "--show",
        type=int,
        default=5,
        metavar="N",
        help="how many changed items, and examples of each side, to show (default: 5)",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON, for scripts")
    parser.add_argument("--items", type=Path, metavar="FILE.csv", help="write every item with its value on either side")
    add_outputs(parser)
    return parser


def _write_items(found: Comparison, path: Path) -> None:
    from selbench.files import written_aside
    from selbench.store.files import writing

    with writing(path.parent), written_aside(path) as aside:
        found.items.to_csv(aside, index=False)


def _preview_of(pool: Pool | None) -> Callable[[str], str]:
    """A function from an id to the beginning of that example's text; it gives '' without a pool."""
    from selbench.tracking.previews import preview

    def text(id: str) -> str:
        return preview(pool[pool.position(id)].text) if pool else ""

    return text
