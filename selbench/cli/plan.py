"""`selbench plan`: what a run or a grid would do and cost, before anything is spent. Loads no torch."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selbench import console
from selbench.cli.options import add_config_dir
from selbench.errors import UserError

if TYPE_CHECKING:
    from selbench.planning.plan import Plan, Settings
    from selbench.settings import Run


def main(arguments: list[str]) -> int:
    """Exit status 0 if the plan fits on the disk, 1 if not."""
    args = _parser().parse_intermixed_args(arguments)
    runs = runs_of(args.settings, args.multirun, args.config_dir)

    from selbench.planning.planner import plan_of

    plan = plan_of(runs, _settings(args, runs[0]))
    if args.json:
        console.out.print(plan.to_json(), end="", soft_wrap=True, markup=False, emoji=False, highlight=False)
    elif args.markdown:
        from selbench.planning.tables import cells_markdown, markdown

        text = markdown(plan) + (f"\n{cells_markdown(plan)}" if args.cells else "")
        console.out.print(text, end="", soft_wrap=True, markup=False, emoji=False, highlight=False)
    else:
        _show(plan)
    for warning in plan.warnings:
        console.warn(warning)
    return 0 if plan.fits else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="selbench plan",
        description="Say what a run, or with -m a grid, would do, without doing it: its cells, which stages are in the "
        "store and which would be made, the time, tokens, disk and money that takes on one device, and the smallest "
        "difference that the planned seeds can show. Times are those of similar past stages in OUTPUT_DIR/store, else "
        "from the number of operations; the last column says which. Settings are those of the run or grid itself.",
        epilog="example: selbench plan -m selector=random,mads budget=0.1,0.2 seed=0,1,2 --price 2.50",
        allow_abbrev=False,
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="as in `selbench ...` and `selbench -m ...`")
    parser.add_argument("-m", "--multirun", action="store_true", help="a grid: comma-separated values are axes")
    add_config_dir(parser)
    parser.add_argument("--price", type=_amount, help="money per device-hour")
    parser.add_argument("--currency", help="what the price is in (default: USD)")
    parser.add_argument("--tflops", type=_amount, help="what the device achieves, where no past stage tells")
    parser.add_argument("--items", type=_whole, help="test items of a suite never run before (default: 1000)")
    parser.add_argument(
        "--item-tokens", type=_whole, help="tokens of one test item, or of one example before it (default: 128)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="a table to paste into a proposal")
    form.add_argument("--json", action="store_true", help="all of it, as JSON")
    parser.add_argument("--cells", action="store_true", help="with --markdown: the table of cells as well")
    return parser


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _settings(args: argparse.Namespace, run: Run) -> Settings:
    """What the command line says, else the run's own price."""
    from selbench.planning.planner import settings_of

    settings = settings_of(run)
    given = {"price": args.price, "currency": args.currency, "items": args.items, "item_tokens": args.item_tokens}
    return dataclasses.replace(
        settings,
        flops_per_s=args.tflops * 1e12 if args.tflops else None,
        **{name: value for name, value in given.items() if value is not None},
    )


def _amount(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def runs_of(overrides: Sequence[str], multirun: bool, config_dir: Path | None = None) -> list[Run]:
    """The checked runs of a command line, composed as the command itself would."""
    from selbench.config import composed
    from selbench.run.identity import checked_keys

    runs = [cell.run for cell in composed(overrides, multirun, config_dir)]
    if len({run.output_dir for run in runs}) > 1:
        raise UserError("output_dir differs between cells: plan one output folder at a time.")
    checked_keys(runs)
    return runs


def _show(plan: Plan) -> None:
    from rich.table import Table
    from rich.text import Text

    from selbench.planning.tables import HEAD, cell_rows, remarks, stage_rows, title

    head, rows = cell_rows(plan)
    for columns, body, right in ((head, rows, {"time", "cell"}), (HEAD, stage_rows(plan), set(HEAD[1:-1]))):
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in body:
            table.add_row(*map(Text, row), style="bold" if row[0] == "total" else None)
        console.out.print(table)
        console.out.print()
    console.out.print(Text(title(plan), style="bold"), soft_wrap=True)
    for line in remarks(plan):
        console.out.print(line, soft_wrap=True, markup=False)
