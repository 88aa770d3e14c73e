"""`selbench select`: selects and exports, without fine-tuning."""

from __future__ import annotations

import argparse
from pathlib import Path

from selbench import console
from selbench.cli.options import add_config_dir

FORMS = ("alpaca", "messages")


def main(arguments: list[str]) -> int:
    """Write the chosen examples as JSONL, best first, and their ids beside it."""
    parser = argparse.ArgumentParser(
        prog="selbench select",
        description="Select without fine-tuning: write the chosen examples as JSONL, best first, and their ids, one per line. "
        "Settings are those of a run (pool, selector, budget, scorer, seed, ...); features and selections are cached and "
        "shared with runs.",
        epilog="example: selbench select selector=mads scorer=planted-1m budget=0.15 --out core.jsonl",
    )
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="e.g. selector=kcenter pool=file pool.path=my.jsonl budget=500"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the JSONL file (default: OUTPUT_DIR/selections/NAME.jsonl)"
    )
    parser.add_argument(
        "--form",
        choices=FORMS,
        default="alpaca",
        help="alpaca: instruction, input, output (default); messages: chat turns",
    )
    add_config_dir(parser)
    args = parser.parse_intermixed_args(arguments)

    from selbench.config import composed_run

    run = composed_run(args.settings, args.config_dir)

    from selbench.data.export import export
    from selbench.run.carry_out import open_store
    from selbench.run.identity import run_axes
    from selbench.run.inputs import load_pool
    from selbench.run.select import selection_alone, selection_facts
    from selbench.store.outputs import Outputs

    pool = load_pool(run.pool).pool
    tokens, chosen = selection_alone(run, open_store(run, console.say), "export")

    name = run_axes(run).name.replace("%", "pct").replace(" ", "_")
    out = args.out or Outputs(run.output_dir).selections / f"{pool.name}_{name}.jsonl"
    export(pool, chosen.ids, out, args.form)
    export(pool, chosen.ids, out.with_suffix(".ids.txt"), "ids")
    positions = [pool.position(id) for id in chosen.ids]
    about = selection_facts([pool[position] for position in positions], tokens[positions], {})
    console.say(
        f"{about.examples} of {len(pool)} examples, {about.response_tokens} response tokens; "
        f"selecting took {chosen.cost['wall_s']:.1f} s"
    )
    console.out.print(str(out), soft_wrap=True)
    console.out.print(str(out.with_suffix(".ids.txt")), soft_wrap=True)
    return 0
