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
    from selbench.config.runs import Cell
    from selbench.planning.plan import Plan, Settings
    from selbench.settings import Run


def main(arguments: list[str]) -> int:
    """Exit status 0 if the plan fits on the disk, 1 if not."""
    args = _parser().parse_intermixed_args(arguments)
    cells, unknown = checked_cells(args.settings, args.multirun, args.config_dir)
    runs = [cell.run for cell in cells]

    from selbench.planning.planner import plan_of

    launcher = cells[0].launcher
    workers = args.workers or (None if launcher.in_order else launcher.at_once or 1)
    plan = plan_of(runs, _planner_settings(args, runs[0]), workers)
    plan = dataclasses.replace(plan, notes=(*plan.notes, *unknown))
    if args.json:
        console.out.print(plan.to_json(), end="", soft_wrap=True, markup=False, emoji=False, highlight=False)
    elif args.markdown:
        from selbench.planning.tables import cells_markdown, markdown

        text = markdown(plan) + (f"\n{cells_markdown(plan)}" if args.cells else "")
        console.out.print(text, end="", soft_wrap=True, markup=False, emoji=False, highlight=False)
    else:
        _print_plan(plan)
    for warning in plan.warnings:
        console.warn(warning)
    return 0 if plan.fits else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="selbench plan",
        description="Say what a run, or with -m a grid, would do, without doing it: its cells, which stages are in the "
        "store and which would be made; the time, tokens, disk and money that they take on one device; and the smallest "
        "difference that the planned seeds can show. Times are those of similar past stages in OUTPUT_DIR/store, else "
        "estimates from the number of operations; the last column says which. Settings are those of the run or grid itself.",
        epilog="example: selbench plan -m selector=random,mads budget=0.1,0.2 seed=0,1,2 --price 2.50",
        allow_abbrev=False,
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="as in `selbench ...` and `selbench -m ...`")
    parser.add_argument("-m", "--multirun", action="store_true", help="a grid: comma-separated values are axes")
    add_config_dir(parser)
    parser.add_argument(
        "--price",
        type=_positive_amount,
        metavar="AMOUNT",
        help="the price of one device-hour (default: the setting price_per_hour)",
    )
    parser.add_argument("--currency", help="the currency of the price (default: the setting currency, USD)")
    parser.add_argument(
        "--tflops",
        type=_positive_amount,
        help="10^12 operations per second that the device achieves; used where no past stage tells",
    )
    parser.add_argument(
        "--items",
        type=_positive_whole,
        metavar="N",
        help="number of test items of a suite that was never run (default: 1000)",
    )
    parser.add_argument(
        "--item-tokens",
        type=_positive_whole,
        metavar="N",
        help="tokens of one test item, and of each example shown before it, of such a suite (default: 128)",
    )
    parser.add_argument(
        "--workers",
        type=_positive_whole,
        metavar="N",
        help="jobs at once: plan the two waves of the grid under a launcher (default: as many as the launcher has)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a Markdown table, as for a proposal")
    form.add_argument("--json", action="store_true", help="print the whole plan as JSON")
    parser.add_argument("--cells", action="store_true", help="with --markdown: the table of cells as well")
    return parser


def _positive_whole(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _planner_settings(args: argparse.Namespace, run: Run) -> Settings:
    """The planner's assumptions: those on the command line, else its defaults with the run's own price."""
    from selbench.planning.planner import settings_of

    settings = settings_of(run)
    given = {"price": args.price, "currency": args.currency, "items": args.items, "item_tokens": args.item_tokens}
    return dataclasses.replace(
        settings,
        flops_per_s=args.tflops * 1e12 if args.tflops else None,
        **{name: value for name, value in given.items() if value is not None},
    )


def _positive_amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number") from None
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def checked_cells(
    overrides: Sequence[str], multirun: bool, config_dir: Path | None = None
) -> tuple[list[Cell], list[str]]:
    """The cells of a command line, composed and checked as the command itself would, with stand-ins for pools that are not
    at hand; and sentences on what is not known without these.

    Raises UserError for every mistake that the command itself would report, and for several output folders.
    """
    from selbench.config.runs import composed
    from selbench.planning.stand_ins import StandIns
    from selbench.run.identity import checked_keys

    cells = composed(overrides, multirun, config_dir)
    if len({cell.run.output_dir for cell in cells}) > 1:
        raise UserError("output_dir differs between cells: plan one output folder at a time.")
    stand_ins = StandIns()
    cells = [dataclasses.replace(cell, run=stand_ins.into(cell.run)) for cell in cells]
    checked_keys([cell.run for cell in cells], at_hand=False)  # the plan says what is needed
    return cells, list(stand_ins.notes)


def _print_plan(plan: Plan) -> None:
    from rich.table import Table
    from rich.text import Text

    from selbench.planning.tables import HEAD, cell_rows, needed_lines, remarks, stage_rows, title

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
    for line in [*remarks(plan), *needed_lines(plan)]:
        console.out.print(line, soft_wrap=True, markup=False)
