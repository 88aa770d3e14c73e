"""`selbench sync`: sends to MLflow the records that its server missed."""

from __future__ import annotations

import argparse

from selbench import console
from selbench.cli.options import add_outputs


def main(arguments: list[str]) -> int:
    """Exit status 0 once the servers have everything. Raises UserError (exit status 2) if one does not answer."""
    parser = argparse.ArgumentParser(
        prog="selbench sync",
        description="Send to MLflow every recorded run, sweep and report that its server does not have yet: after the "
        "server was away, or to copy the runs to another server. Nothing is sent twice; nothing on a server is deleted but a "
        "second copy of a run, which a restart of the server can leave.",
        epilog="example: selbench sync --tracking-uri http://mlflow.example.org:5000",
    )
    add_outputs(parser)
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="the server to send to (default: the one that each run names; needed for runs with tracking=none)",
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
