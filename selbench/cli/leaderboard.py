"""`selbench leaderboard`: the table over recorded runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from selbench.errors import UserError, unknown


def main(arguments: list[str]) -> int:
    """Print the table, and write it as CSV."""
    parser = argparse.ArgumentParser(
        prog="selbench leaderboard",
        description="Score ± standard error over seeds of every selector, budget and model among the recorded runs, the "
        "difference to random selection (paired by seed), the examples and response tokens selected, and the seconds "
        "that selecting took. Arms are sorted best first within a budget.",
    )
    parser.add_argument(
        "--outputs",
        type=Path,
        default=Path(os.environ.get("SELBENCH_OUTPUTS", "outputs")),
        help="the output folder (default: outputs)",
    )
    parser.add_argument("--comparison", help="only runs of this comparison")
    parser.add_argument("--sweep", help="only the runs of this sweep; 'latest' is the last one started")
    parser.add_argument("--baseline", default="random", help="the arm to compare the others with (default: random)")
    parser.add_argument("--csv", type=Path, help="where to write the CSV (default: OUTPUTS/reports/leaderboard.csv)")
    args = parser.parse_args(arguments)

    from selbench.report.leaderboard import show
    from selbench.store.records import Record, Records, Sweep

    records = Records(args.outputs / "runs").all()
    if args.sweep:
        keys = {
            result["key"]
            for result in Sweep(args.outputs / "sweeps", _sweep(args.outputs, args.sweep)).results().values()
        }
        records = [record for record in records if record.key in keys]
    if args.comparison:
        known = {record.comparison for record in records}
        if args.comparison not in known:
            raise UserError(unknown("comparison", args.comparison, known))
        records = [record for record in records if record.comparison == args.comparison]
    finished: list[Record] = [record for record in records if record.status == "finished"]
    if not finished:
        raise UserError(
            f"no finished run under {args.outputs / 'runs'}: run `selbench demo`, or name another folder with --outputs."
        )
    show(finished, csv=args.csv or args.outputs / "reports" / "leaderboard.csv", baseline=args.baseline)
    return 0


def _sweep(outputs: Path, id: str) -> str:
    known = sorted(path.name for path in (outputs / "sweeps").glob("*") if path.is_dir())
    if id == "latest" and known:
        return known[-1]
    if id not in known:
        raise UserError(unknown("sweep", id, known))
    return id
