"""`selbench demo`: the comparison that ships with selbench, in minutes and without a network."""

from __future__ import annotations

import argparse

from selbench.cli.options import add_config_dir


def main(arguments: list[str]) -> int:
    """Run the grid `experiment=demo`, with the settings that were typed."""
    parser = argparse.ArgumentParser(
        prog="selbench demo",
        description="Run the comparison that ships with selbench, without a network, in a few minutes on two cores: random, "
        "longest, kcenter_tfidf and mads at two budgets and two seeds, and the arms base (no fine-tuning) and full (all "
        "data), on the generated pool 'planted' and a one-million-parameter model. It ends with the leaderboard and "
        "the paths of what it made. The same as `selbench -m experiment=demo`; the same command again continues after "
        "an interruption.",
    )
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="settings to change, e.g. seed=0,1,2 output_dir=/tmp/x"
    )
    add_config_dir(parser)
    args = parser.parse_intermixed_args(arguments)
    from selbench.cli.grid import main as grid

    folder = ["--config-dir", str(args.config_dir)] if args.config_dir else []
    return grid(["-m", *folder, "experiment=demo", *args.settings])
