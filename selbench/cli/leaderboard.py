"""`selbench leaderboard`: the board over recorded runs, or over a file of scores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.cli.options import add_outputs
from selbench.errors import UserError, unknown

if TYPE_CHECKING:
    from selbench.store.records import Record

# Wrapped by hand, because the examples are printed as they stand.
DESCRIPTION = """\
Compare every selector, budget and model among the recorded runs: the score with its interval, the
difference to random selection and the verdict on it, shared ranks, the smallest difference that these
seeds can show, and costs. The board is printed, and written as CSV, Parquet, Markdown and HTML.
"""
EXAMPLES = """\
examples:
  selbench leaderboard --sweep latest
  selbench leaderboard --scores scores.csv --map selector=method,budget=num_samples,seed=seed,task=dataset,score=accuracy \\
      --baseline Random
"""


def main(arguments: list[str]) -> int:
    """Print the board, and write it as CSV, Parquet, Markdown and one HTML page."""
    args = _parser().parse_args(arguments)
    names = ("test", "correction", "confidence", "intervals")
    options = {name: getattr(args, name) for name in names}
    if args.scores:
        return _board_of_scores(args, options)
    for name in ("map", "lower_is_better"):
        if getattr(args, name):
            raise UserError(f"--{name.replace('_', '-')} says how to read a file: it needs --scores FILE.")

    from selbench.report.leaderboard import show_records
    from selbench.store.outputs import Outputs

    outputs = Outputs(args.outputs)
    runs = outputs.records.root
    if args.tracking_uri:
        (records, runs), plan = _records_of_server(args), None
    else:
        records, plan = _records_of_folder(args)
    show_records(
        records,
        csv=args.csv or outputs.reports / "leaderboard.csv",
        baseline=args.baseline,
        runs=runs,
        all_tables=args.all_tables,
        as_json=args.json,
        plan=plan,
        **options,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    from selbench.statistics.multiplicity import CORRECTIONS

    parser = argparse.ArgumentParser(
        prog="selbench leaderboard",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_outputs(parser)
    parser.add_argument("--comparison", help="only runs of this comparison")
    parser.add_argument("--sweep", help="only the runs of this sweep; 'latest' is the last one started")
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="the runs of this MLflow server instead of an output folder"
    )
    parser.add_argument("--scores", type=Path, metavar="FILE", help="a CSV or Parquet file of scores instead of runs")
    parser.add_argument(
        "--map",
        metavar="AXIS=COLUMN,...",
        help="which column of --scores holds which axis. Axes are pool, selector, scorer, budget, model, trainer, suite, "
        "task, metric, seed, score; the file needs a selector and a score",
    )
    parser.add_argument("--lower-is-better", action="store_true", help="for --scores: the best score is the lowest")
    parser.add_argument("--baseline", default="random", help="the arm to compare the others with (default: random)")
    parser.add_argument(
        "--test", default="moderated", help="moderated (default), paired or welch t test: see docs/verdicts.md"
    )
    parser.add_argument(
        "--correction",
        default="joint",
        help=f"how p values are corrected, one of {', '.join(CORRECTIONS)}: by the joint distribution of the comparisons of a "
        "table (joint, the default), Holm within each table (holm-table), "
        "or Holm (holm) or Benjamini-Hochberg (bh) over the whole board",
    )
    parser.add_argument(
        "--confidence", type=float, default=0.95, help="the level of intervals and verdicts (default: 0.95)"
    )
    parser.add_argument(
        "--intervals",
        default="corrected",
        help="which are shown beside differences: corrected (default: leaves out 0 exactly where there is a verdict), "
        "simultaneous (all of a table hold together) or plain (each by itself, not corrected); the files hold all",
    )
    parser.add_argument("--all-tables", action="store_true", help="print every table of a large board")
    parser.add_argument("--json", action="store_true", help="print the whole board as JSON, and nothing else")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="where to write the CSV (default: OUTPUTS/reports/leaderboard.csv)"
    )
    return parser


def _board_of_scores(args: argparse.Namespace, options: dict[str, Any]) -> int:
    from selbench.report.build import build_board
    from selbench.report.leaderboard import show_board
    from selbench.report.plain_scores import parse_map, read_scores
    from selbench.store.outputs import Outputs

    for name in ("comparison", "sweep", "tracking_uri"):
        if getattr(args, name):
            raise UserError(f"--{name.replace('_', '-')} chooses among recorded runs: it does not go with --scores.")
    mapping = parse_map(args.map) if args.map else {}
    table = read_scores(args.scores, mapping, higher_is_better=not args.lower_is_better)
    if args.baseline not in set(table["selector"]):
        raise UserError(
            f"{args.scores}: {unknown('baseline', args.baseline, table['selector'].unique())} Name the arm to compare with: "
            "--baseline ARM."
        )
    board = build_board(table, baseline=args.baseline, **options)
    csv = args.csv or Outputs(args.outputs).reports / f"{args.scores.stem}.csv"
    show_board(board, csv, all_tables=args.all_tables, as_json=args.json)
    return 0


def _records_of_server(args: argparse.Namespace) -> tuple[list[Record], Path]:
    """The finished runs of an MLflow server, and the folder that holds their records, each fetched once."""
    from selbench.store.outputs import Outputs
    from selbench.tracking.download import records_from_server

    fetched = Outputs(args.outputs).fetched
    records, folder = records_from_server(args.tracking_uri, args.comparison, args.sweep, fetched)
    finished = [record for record in records if record.status == "finished"]
    if not finished:
        raise UserError("no run on the server has finished.")
    return finished, Outputs(folder).records.root


def _records_of_folder(args: argparse.Namespace) -> tuple[list[Record], list[dict[str, Any]] | None]:
    """The finished runs that were asked for; for a sweep also its planned and actual time, a row per kind of stage.

    Raises UserError for an unknown sweep or comparison, and if no such run has finished.
    """
    from selbench.planning.planned_and_actual import compare_sweep
    from selbench.store.outputs import Outputs

    outputs = Outputs(args.outputs)
    records, plan = outputs.records.all(), None
    if args.sweep:
        sweep = outputs.sweeps.named(args.sweep)
        keys = {result["key"] for result in sweep.results().values()}
        records = [record for record in records if record.key in keys]
        plan = compare_sweep(sweep.folder, records, outputs.store)
    if args.comparison:
        known = {record.comparison for record in records}
        if args.comparison not in known:
            raise UserError(unknown("comparison", args.comparison, known))
        records = [record for record in records if record.comparison == args.comparison]
    finished = [record for record in records if record.status == "finished"]
    if not finished:
        raise UserError(
            f"no finished run under {outputs.records.root}: run `selbench demo`, or name another folder with --outputs."
        )
    return finished, plan
