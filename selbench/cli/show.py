"""`selbench show`: all that is known of one run, stage or sweep, and the commands that made it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from selbench import console
from selbench.cli.options import add_outputs
from selbench.numbers import digits_text, duration_text, flops_text, number_text, size_text

if TYPE_CHECKING:
    from selbench.store.inventory import Entry
    from selbench.store.outputs import Outputs
    from selbench.store.records import Record
    from selbench.store.sweeps import Sweep

Line = tuple[str, str]  # a heading, empty where it is that of the line before, and the text


def main(arguments: list[str]) -> int:
    """Print a run, a stage, or the cells of a sweep."""
    parser = argparse.ArgumentParser(
        prog="selbench show",
        description="Show one run: settings, status, scores, the selection, costs, the command that made it and the one that "
        "makes it again, data, code state, seeds, and its stages with their folders. A run is named by its key (or a unique "
        "beginning of it) or by its cell, SWEEP/3 or latest/3. For a stage's key, show the runs that rest on the stage; for "
        "a sweep's name, its cells.",
        epilog="example: selbench show 1ee3; selbench show latest/3 --config",
    )
    parser.add_argument("name", metavar="RUN", help="a run's key, SWEEP/N, a stage's key, or a sweep")
    add_outputs(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--config", action="store_true", help="print the run's full resolved configuration as YAML")
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    args = parser.parse_args(arguments)

    from selbench.store.outputs import Outputs

    outputs = Outputs(args.outputs)
    found = outputs.find(args.name)
    if args.config:
        from selbench.config.composition import as_yaml

        _print_lines([as_yaml(outputs.find_run(args.name).config).rstrip()])
    elif args.json:
        _print_lines([json.dumps(_plain_data(found, outputs), indent=1, default=str)])
    else:
        _print_lines(_lines_of(found, outputs))
    return 0


def _lines_of(found: Record | Entry | Sweep, outputs: Outputs) -> list[str]:
    from selbench.store.inventory import Entry
    from selbench.store.records import Record

    if isinstance(found, Record):
        return _in_two_columns(_run_lines(found, outputs))
    return _in_two_columns(_stage_facts(found, outputs)) if isinstance(found, Entry) else _sweep_lines(found)


def _in_two_columns(lines: Iterable[Line]) -> list[str]:
    return [f"{head:<12}{text}".rstrip() for head, text in lines]


def _run_lines(record: Record, outputs: Outputs) -> Iterator[Line]:
    from selbench.store.records import RECORD

    yield "run", f"{record.key}  {record.name}  {record.status}"
    if record.reason:
        yield "reason", record.reason
    yield "folder", f"{outputs.records.folder(record.key)}  ({RECORD} holds all of this, and the configuration)"
    yield "made", record.created
    yield from _origin_lines(record, outputs)
    yield (
        "again",
        f"selbench rerun {record.key}" + ("" if str(outputs.root) == "outputs" else f" --outputs {outputs.root}"),
    )
    axes = {name: value for name, value in record.axes.plain().items() if not name.endswith(("_key", "_keys"))}
    yield "settings", "  ".join(f"{name}={_short_text(value)}" for name, value in axes.items() if value is not None)
    yield "comparison", record.comparison
    yield "data", f"pool {record.axes.pool}, fingerprint {record.axes.pool_key}"
    for position, one in enumerate(record.hub):
        yield "" if position else "hub", f"{one.part}: {one.kind} {one.text}"
    keys = {"trainer": record.axes.trainer_key, **record.axes.suite_keys}
    yield "keys", "  ".join(f"{name} {key}" for name, key in keys.items() if key)
    yield "seeds", "  ".join(f"{axis} {seed}" for axis, seed in record.seeds.items())
    yield from _code_lines(record.versions)
    facts = {name: value for name, value in record.selection.plain().items() if not isinstance(value, dict)}
    yield (
        "selection",
        "  ".join(f"{name.replace('_', ' ')} {_short_text(value)}" for name, value in facts.items()) or "–",
    )
    if sentence := record.selection.stopped_short(record.axes.budget_unit):
        yield "", sentence
    said = {name: value for name, value in record.logged.items() if name.startswith("selection/")}
    if said:  # what the selector itself counted
        counts = (f"{name.removeprefix('selection/').replace('_', ' ')} {_short_text(v)}" for name, v in said.items())
        yield "selector", "  ".join(counts)
    yield from _filter_lines(record)
    yield from _leak_lines(record)
    yield from _training_lines(record)
    yield from _cost_lines(record)
    yield from _stage_lines(record, outputs)
    yield from _score_lines(record)


def _filter_lines(record: Record) -> Iterator[Line]:
    for position, (place, facts) in enumerate(record.filters.items()):
        yield "" if position else "filters", f"{place}: {facts.sentence}"


def _leak_lines(record: Record) -> Iterator[Line]:
    head = "leaks"
    for suite, about in record.leaks.items():
        counts = f"{about.leaked:,} of {about.items:,} items in {about.examples:,} examples of the pool"
        found = f"{counts}, {about.selected:,} of them selected"
        yield head, f"{suite} {found if about.checked else 'cannot be checked: it has no texts()'}"
        head = ""
        for sentence in about.target_sentences(suite):
            yield "", f"{sentence}: the selection was made with the test in view."


def _training_lines(record: Record) -> Iterator[Line]:
    facts = record.training
    if not facts.plain():
        return
    words = ("selected", "trained", "cut", "dropped", "response_tokens_kept", "response_tokens_trained")
    counts = {name.removeprefix("response_"): getattr(facts, name) for name in words}
    known = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if count is not None]
    yield "training", "  ".join(known)
    if facts.context is not None:
        yield "", f"context {facts.context:,} tokens ({facts.limit})  template {facts.template}"
    for sentence in (facts.losses, facts.contradiction):
        if sentence:
            yield "", sentence


def _cost_lines(record: Record) -> Iterator[Line]:
    head = "cost"
    for stage, cost in record.cost.items():
        if "wall_s" not in cost:  # base selects nothing
            continue
        peak = f", {size_text(cost['peak_bytes'])} at most" if "peak_bytes" in cost else ""
        flops = f", {flops_text(cost['flops'])} FLOP" if "flops" in cost else ""
        yield head, f"{stage} {number_text(cost['wall_s'], 2)} s{peak}{flops}"
        head = ""
        if stage == "training" and (checked := record.logged.get("training/output_check_s")) is not None:
            yield "", f"comparing outputs with the base {number_text(checked, 2)} s (not part of training)"


def _origin_lines(record: Record, outputs: Outputs) -> Iterator[Line]:
    """The command that the run came from; for a cell of a sweep also the command that runs this cell alone."""
    words = [word for word in shlex.split(record.command) if not word.startswith("sweep=")]
    yield "command", shlex.join(words)
    if not record.sweep or not outputs.sweeps.has(record.sweep):
        return
    sweep = outputs.sweeps.open(record.sweep)
    for number, row in enumerate(sweep.about.get("rows", [])):
        if row["key"] == record.key:
            yield "cell", f"{sweep.id}/{number + 1}"
            yield "by itself", shlex.join(["selbench", *row["overrides"]])
            return


def _code_lines(versions: dict[str, Any]) -> Iterator[Line]:
    if not versions:
        return
    git = versions.get("git") or "none (installed)"
    yield "code", f"selbench {versions.get('selbench')}, git {git}, python {versions.get('python')}"
    yield "", "  ".join(f"{name} {version}" for name, version in versions.get("packages", {}).items())
    yield "", "  ".join(f"{name} {value}" for name, value in versions.get("hardware", {}).items() if value)


def _stage_lines(record: Record, outputs: Outputs) -> Iterator[Line]:
    from selbench.store.inventory import stage_path
    from selbench.store.stages import DROPPED, MANIFEST

    for position, (label, name) in enumerate(record.stages.items()):
        path = stage_path(outputs.store, label, name)
        state = "whole" if (path / MANIFEST).is_file() else "files given back" if (path / DROPPED).is_file() else "gone"
        yield "" if position else "stages", f"{label:<20} {path}  {state}"


def _score_lines(record: Record) -> Iterator[Line]:
    for suite, value in record.headline.items():
        tasks = record.headlines(suite)
        metrics = sorted({row.metric for row in tasks})
        yield "score", f"{suite} {value:.6g}  ({', '.join(metrics)}, mean of {len(tasks)} tasks)"
        for row in tasks if len(tasks) > 1 else []:
            yield "", f"  {row.task:<28} {row.value:.6g}  {row.items} items"
        for row in tasks:
            if row.losses:
                yield "", row.losses


def _stage_facts(entry: Entry, outputs: Outputs) -> Iterator[Line]:
    from selbench.store.files import read_json
    from selbench.store.stages import DROPPED, MANIFEST

    manifest = read_json(entry.path / MANIFEST) or read_json(entry.path / DROPPED) or {}
    yield "stage", f"{entry.kind} {entry.name}  {entry.state}"
    yield "folder", f"{entry.path}  {entry.bytes:,} bytes"
    yield "made", f"{manifest.get('created', 'unknown')}, {_age_text(manifest.get('created'))}"
    yield "cost", "  ".join(f"{name} {value:,.6g}" for name, value in manifest.get("cost", {}).items())
    yield "key of", json.dumps(manifest.get("identity", {}), default=str)
    for position, input in enumerate(entry.inputs):
        yield "" if position else "made from", input
    for position, key in enumerate(entry.runs):
        record = outputs.records.read(key)
        yield "" if position else "runs", f"{key}  {record.name}  {record.status}" if record else key
    if not entry.runs:
        yield "runs", "none rests on it"


def _sweep_lines(sweep: Sweep) -> list[str]:
    about, results = sweep.about, sweep.results()
    lines = [f"sweep {sweep.id}  {about['cells']} cells", about["command"]]
    for number in range(about["cells"]):
        row = about["rows"][number] if "rows" in about else {"name": "", "key": ""}
        ended = results.get(number)
        state = (ended["status"] + (", reused" if ended["reused"] else "")) if ended else "not ended"
        lines.append(f"{number + 1:>4}  {row['key'] or (ended or {}).get('key', ''):<20}  {row['name']}  {state}")
    return lines


def _plain_data(found: Record | Entry | Sweep, outputs: Outputs) -> dict[str, Any]:
    from selbench.store.inventory import stage_path
    from selbench.store.records import Record
    from selbench.store.sweeps import Sweep

    if isinstance(found, Sweep):
        return {**found.about, "results": found.results()}
    if isinstance(found, Record):
        data = found.plain()
        paths = {label: stage_path(outputs.store, label, name) for label, name in found.stages.items()}
        data["name"], data["folder"] = found.name, outputs.records.folder(found.key)
        data["stage_folders"] = {label: path for label, path in paths.items() if path.is_dir()}
        return data
    return dataclasses.asdict(found)


def _short_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return digits_text(value) if isinstance(value, float) else str(value)


def _age_text(created: str | None) -> str:
    if not created:
        return "when is not known"
    return f"{duration_text((datetime.now(timezone.utc) - datetime.fromisoformat(created)).total_seconds())} ago"


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        console.out.print(line, soft_wrap=True, markup=False, emoji=False, highlight=False)
