"""`selbench select`: selects and exports, without fine-tuning."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench import console
from selbench.cli.options import add_config_dir, add_outputs
from selbench.errors import UserError

if TYPE_CHECKING:
    from selbench.api import Pool
    from selbench.settings import Run

FORMS = ("alpaca", "sharegpt", "messages")


def main(arguments: list[str]) -> int:
    """Write the chosen examples, best first, and their ids beside them."""
    args = _parser().parse_intermixed_args(arguments)
    if args.out:
        from selbench.data.export import require_ending

        require_ending(args.out)  # before the work of selecting
    if args.run:
        return _export_recorded(args)

    from selbench.config.runs import composed_run

    run = composed_run(args.settings, args.config_dir)

    from selbench.run.before_selecting import filter_sentences, target_leak_sentences
    from selbench.run.carry_out import open_store
    from selbench.run.identity import check_selector
    from selbench.run.inputs import pool_of
    from selbench.run.select import selection_alone, selection_facts

    check_selector(run)
    pool = pool_of(run).pool
    for sentence in filter_sentences(run):
        console.say(sentence)
    for sentence in target_leak_sentences([run]):
        console.warn(sentence)
    tokens, chosen = selection_alone(run, open_store(run, console.say), "export")
    positions = [pool.position(id) for id in chosen.ids]
    about = selection_facts([pool[position] for position in positions], pool, tokens[positions], {})
    console.say(
        f"{about.examples} of {len(pool)} examples, {about.response_tokens} response tokens; "
        f"selecting took {chosen.cost['wall_s']:.1f} s"
    )
    for sentence in (dataclasses.replace(about, asked=chosen.asked).stopped_short(run.budget_unit), about.repeats):
        if sentence:
            console.say(sentence)
    return _write(args, run, pool, chosen.ids, run.output_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="selbench select",
        description="Select without fine-tuning: write the chosen examples, best first, and their ids, one per line. Settings "
        "are those of a run (pool, selector, budget, scorer, seed, ...); features and selections are cached and shared with "
        "runs. With --run, write the selection of a run that was recorded. Of a pool from files, the columns that selbench "
        "does not read are kept, and pool_row is the number of the line or row.",
        epilog="examples: selbench select selector=mads scorer=planted-1m budget=0.15 --out core.jsonl; "
        "selbench select --run latest/3 --out core.csv",
    )
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="e.g. selector=mads pool=file pool.path=my.jsonl budget=500"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the file, written as its ending says: .jsonl, .json, .csv (each also .gz), .parquet, or .ids.txt for the ids "
        "alone (default: OUTPUT_DIR/selections/NAME.jsonl)",
    )
    parser.add_argument(
        "--form",
        choices=FORMS,
        default="alpaca",
        help="alpaca: instruction, input, output (default); sharegpt: turns of from and value; messages: chat turns",
    )
    parser.add_argument(
        "--run", metavar="RUN", help="the selection of this run: its key, or its cell as SWEEP/3 or latest/3"
    )
    add_outputs(parser)
    add_config_dir(parser)
    return parser


def _export_recorded(args: argparse.Namespace) -> int:
    """Export what a recorded run has selected. Raises UserError if it selected nothing or its pool has changed."""
    from selbench.cli.rerun import recorded_run
    from selbench.plugins import plugin_path
    from selbench.run.inputs import pool_of
    from selbench.store.files import read_json
    from selbench.store.outputs import Outputs
    from selbench.store.records import SELECTION

    if others := [text for text in args.settings if not text.lstrip("+").startswith("plugin_path=")]:
        raise UserError(f"{others[0]}: --run takes the selection as it was recorded; only plugin_path= may be given.")
    outputs = Outputs(args.outputs)
    record = outputs.find_run(args.run)
    ids = (read_json(outputs.records.folder(record.key) / SELECTION) or {}).get("ids")
    if not ids:
        raise UserError(f"run {record.key} ({record.name}, {record.status}) has no selection to export.")
    run = recorded_run(record, plugin_path(args.settings))
    pool = pool_of(run).pool
    if record.axes.pool_key and pool.fingerprint[: len(record.axes.pool_key)] != record.axes.pool_key:
        raise UserError(
            f"the pool '{pool.name}' has changed since run {record.key}: its ids may be other examples now."
        )
    console.say(f"{len(ids)} of {len(pool)} examples, as run {record.key} ({record.name}) selected them")
    return _write(args, run, pool, ids, outputs.root)


def _write(args: argparse.Namespace, run: Run, pool: Pool, ids: Any, outputs: Path) -> int:
    from selbench.data.export import export, names_ids
    from selbench.run.identity import run_axes
    from selbench.store.outputs import Outputs, file_name

    name = file_name(run_axes(run).name)
    out = args.out or Outputs(outputs).selections / f"{file_name(pool.name)}_{name}.jsonl"
    written = [out]
    if names_ids(out):
        export(pool, ids, out, "ids")
    else:
        others = run.pool.other_columns() if hasattr(run.pool, "other_columns") else {}
        export(pool, ids, out, args.form, others)
        written.append(export(pool, ids, out.with_suffix(".ids.txt"), "ids"))
    for path in written:
        console.out.print(str(path), soft_wrap=True)
    return 0
