"""`selbench sync`: send to MLflow what a server that was away has missed."""

from __future__ import annotations

import argparse

from selbench import console
from selbench.cli.options import add_outputs


def main(arguments: list[str]) -> int:
    """Exit status 0 if the servers now have everything, 2 if one does not answer."""
    parser = argparse.ArgumentParser(
        prog="selbench sync",
        description="Send to MLflow every recorded run, sweep and report that its server does not have yet: after the "
        "server was away, or to put the runs on another one. Nothing is sent twice; nothing is ever taken back.",
        epilog="example: selbench sync --tracking-uri http://mlflow.example.org:5000",
    )
    add_outputs(parser)
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="where to (default: where each run was to send its record; needed for runs with tracking=none)",
    )
    parser.add_argument("--comparison", help="only runs of this comparison")
    args = parser.parse_args(arguments)

    from selbench.tracking.sync import sync

    for done in sync(args.outputs, args.tracking_uri, args.comparison, say=console.say):
        reports = f", {done.reports} reports" if done.reports else ""
        console.out.print(
            f"{done.server}: {done.sent} runs sent{reports}, {done.there} were there already.",
            soft_wrap=True,
            markup=False,
        )
    return 0
