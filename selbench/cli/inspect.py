"""`selbench inspect`: pictures of a selection, and the data behind each."""

from __future__ import annotations

import argparse
from pathlib import Path

from selbench import console
from selbench.cli.options import add_config_dir


def main(arguments: list[str]) -> int:
    """Make the selection, or take it from the store, and write every panel that applies to it."""
    parser = argparse.ArgumentParser(
        prog="selbench inspect",
        description="Look at a selection: write figures (PNG), and the data behind each (CSV), about tags, coverage, scores, "
        "lengths, neighbours and composition. Panels that do not apply are left out, with the reason. Settings are those "
        "of a run; features and selections are cached and shared with runs. Figures may use labels of the pool that "
        "selectors never see.",
        epilog="example: selbench inspect selector=mads selector.layers=all pool=planted budget=0.15 --out mads-planted",
    )
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="e.g. selector=mads scorer=planted-1m budget=0.15"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the folder to write to (default: OUTPUT_DIR/inspect/NAME)"
    )
    add_config_dir(parser)
    args = parser.parse_intermixed_args(arguments)  # settings may stand before and after --out

    from selbench.config.runs import composed_run

    run = composed_run(args.settings, args.config_dir)

    from selbench.inspection.of_run import view_of
    from selbench.inspection.panels import write_panels
    from selbench.store.outputs import Outputs

    view, stem = view_of(run, console.say)
    out = args.out or Outputs(run.output_dir).inspections / stem
    written, left_out = write_panels(view, out)
    for note in view.notes:
        console.say(note)
    console.say(f"{view.name}: {len(written)} panels")
    console.out.print(str(out), soft_wrap=True, markup=False)
    for files, about in written:
        console.out.print(f"  {'  '.join(files):<39}  {about}", soft_wrap=True, markup=False)
    for name, reason in left_out.items():
        console.out.print(f"  left out: {name:<29}  {reason}", soft_wrap=True, markup=False)
    return 0
