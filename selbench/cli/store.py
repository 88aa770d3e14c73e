"""`selbench store`: lists the stored stages, verifies their files, deletes those that no record needs, copies them elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from selbench import console
from selbench.cli.options import add_outputs
from selbench.cli.store_transfer import add_push_and_pull, push_or_pull
from selbench.errors import UserError
from selbench.numbers import duration_text, size_text

DAY_S = 86_400.0


def main(arguments: list[str]) -> int:
    """Exit status 1 if `verify` finds a damaged file, else 0."""
    parser = argparse.ArgumentParser(
        prog="selbench store",
        description="List, verify and delete the stages under OUTPUTS/store: tokens, features, autoencoders, selections, leak "
        "checks, fine-tuned models, evaluations; push them and the runs to a bucket or folder, and pull them from there.",
    )
    common = argparse.ArgumentParser(add_help=False)
    add_outputs(common)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="ls|verify|gc|push|pull")
    listing = verbs.add_parser(
        "ls",
        parents=[common],
        help="list every stage: size, age, the stages it was made from, how many runs rest on it",
    )
    listing.add_argument("--kind", help="only stages of this kind: features, selection, training, ...")
    verbs.add_parser(
        "verify",
        parents=[common],
        help="compare every file of stages and records with the checksum it was written with",
    )
    cleaning = verbs.add_parser(
        "gc",
        parents=[common],
        help="delete stages on which no record rests, and folders that killed processes left unfinished",
    )
    cleaning.add_argument("--older-than", type=float, default=0.0, metavar="DAYS", help="only stages older than this")
    cleaning.add_argument("--dry-run", action="store_true", help="list what would be deleted, and delete nothing")
    add_push_and_pull(verbs)
    args = parser.parse_args(arguments)
    if args.verb in ("push", "pull"):
        return push_or_pull(args)

    from selbench.store.outputs import Outputs

    root = Outputs(args.outputs).store
    if not root.is_dir():
        raise UserError(f"there is no store at {root}: name the output folder with --outputs.")
    if args.verb == "ls":
        return _print_list(args.outputs, args.kind)
    return (
        _verify_all(args.outputs)
        if args.verb == "verify"
        else _delete_unneeded(args.outputs, args.older_than, args.dry_run)
    )


def _print_list(outputs: Path, kind: str | None) -> int:
    from rich.table import Table
    from rich.text import Text

    from selbench.errors import unknown
    from selbench.store.inventory import entries
    from selbench.store.outputs import Outputs

    found = entries(Outputs(outputs).store, Outputs(outputs).records.all())
    kinds = {entry.kind for entry in found}
    if kind and kind not in kinds:
        raise UserError(unknown("kind", kind, kinds))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name, justify in (("kind", "left"), ("name", "left"), ("state", "left"), ("size", "right"), ("age", "right"),
                          ("runs", "right"), ("made from", "left")):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for entry in found:
        if not kind or entry.kind == kind:
            made_from = ", ".join(f"{id.split('/')[0]}/{id.split('/')[1][:8]}" for id in entry.inputs)
            cells = [entry.kind, entry.name, entry.state, size_text(entry.bytes), duration_text(entry.age_s)]
            table.add_row(*[Text(cell) for cell in cells], str(len(entry.runs)), Text(made_from))
    console.out.print(table)
    spare = [entry for entry in found if not entry.runs]
    unneeded = (
        f"no record rests on {len(spare)} of them ({size_text(sum(entry.bytes for entry in spare))}): "
        "`selbench store gc` deletes those."
    )
    size = size_text(sum(entry.bytes for entry in found))
    console.say(f"{len(found)} entries, {size}; {unneeded if spare else 'records rest on all of them.'}")
    return 0


def _verify_all(outputs: Path) -> int:
    from tqdm import tqdm

    from selbench.store.files import read_json
    from selbench.store.inventory import entries
    from selbench.store.outputs import Outputs
    from selbench.store.stages import MANIFEST, verify

    records = Outputs(outputs).records
    known = records.all()
    wrong = 0
    stages = [entry for entry in entries(Outputs(outputs).store, known) if entry.state in ("whole", "unfinished")]
    for entry in tqdm(stages, "verify", disable=None, leave=False):
        if problem := verify(entry.path, read_json(entry.path / MANIFEST)):
            wrong += 1
            runs = f" {len(entry.runs)} runs rest on it." if entry.runs else ""
            console.fail(f"{entry.path}: {problem}.{runs}")
    for record in known:
        if problem := records.damage(record):
            wrong += 1
            console.fail(f"{records.folder(record.key)} ({record.name}): {problem}.")
    console.say(f"{len(stages)} stages and {len(known)} records checked, {wrong} damaged.")
    if wrong:
        console.say("A damaged stage is computed again when a run asks for it; reuse=none makes a run anew.")
    return 1 if wrong else 0


def _delete_unneeded(outputs: Path, days: float, dry_run: bool) -> int:
    from selbench.store.inventory import entries, remove, unneeded
    from selbench.store.locks import Locks
    from selbench.store.outputs import Outputs

    root = Outputs(outputs).store
    locks, freed, gone = Locks(root / ".locks"), 0, 0
    since = locks.oldest("run-")
    if since is not None:
        console.say("a run is under way: what was made since it began stays.")
    going = unneeded(entries(root, Outputs(outputs).records.all()), days * DAY_S, since)
    for entry in going:
        what = f"{entry.kind}/{entry.name} ({entry.state}, {size_text(entry.bytes)}, {duration_text(entry.age_s)} old)"
        if dry_run:
            console.say(f"would delete {what}")
        elif remove(root, entry, locks):
            console.say(f"deleted {what}")
        else:
            console.say(f"kept {what}: a process is at work on it")
            continue
        freed, gone = freed + entry.bytes, gone + 1
    console.say(
        f"{gone} entries, {size_text(freed)} {'could be ' if dry_run else ''}freed; what records rest on is untouched."
    )
    return 0
