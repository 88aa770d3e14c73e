"""The tables and sentences of a plan, for the terminal and as Markdown for a proposal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from selbench.numbers import (
    UNKNOWN,
    compact_count_text,
    counted_text,
    digits_text,
    duration_text,
    money_text,
    percent_text,
    size_text,
    two_digits_text,
)
from selbench.planning.plan import STAGES, Detectable, Plan, PlannedCell, PlannedStage, Waves

HEAD = ("stage", "needed", "cached", "to run", "tokens", "time", "money", "disk", "time comes from")


def title(plan: Plan) -> str:
    """`90 cells: 12 done, 78 to run`."""
    done = sum(not cell.runs for cell in plan.cells)
    return f"{counted_text(len(plan.cells), 'cell')}: {done} done, {len(plan.cells) - done} to run"


def stage_rows(plan: Plan) -> list[list[str]]:
    """The rows of the table under HEAD: one per kind of stage, and the total."""
    return [_stage_row(row, plan) for row in plan.totals]


def _stage_row(row: Mapping[str, Any], plan: Plan) -> list[str]:
    runs = row["to_run"]
    last = row["stage"] == "total"
    return [
        row["stage"],
        str(row["needed"]),
        str(row["cached"]),
        f"≤ {runs}" if row["at_most"] else str(runs),
        compact_count_text(row["tokens"]),
        (duration_text(row["seconds"]) + (f" + {row['unknown']} unknown" if row["unknown"] else ""))
        if runs
        else UNKNOWN,
        UNKNOWN if row["money"] is None or not runs else money_text(row["money"], plan.settings.currency),
        size_text(row["bytes"]) if runs or last else UNKNOWN,
        "" if last else "; ".join(row["sources"][:2]) + (" ..." if len(row["sources"]) > 2 else ""),
    ]


def cell_rows(plan: Plan) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of cells: what each stage does there; a shared one runs in the first cell that needs it."""
    kinds = [kind for kind in STAGES if any(stage.stage == kind for stage in plan.stages)]
    stages = {(stage.stage, stage.id): stage for stage in plan.stages}
    claimed: set[tuple[str, str]] = set()
    rows = []
    for cell in plan.cells:
        own = [stage for key, stage in stages.items() if key[1] in cell.stages]
        fresh = [stage for stage in own if stage.status == "to run" and (stage.stage, stage.id) not in claimed]
        claimed |= {(stage.stage, stage.id) for stage in fresh}
        marks = [_mark(kind, own, fresh) for kind in kinds] if cell.runs else [UNKNOWN] * len(kinds)
        time = duration_text(sum(stage.seconds or 0.0 for stage in fresh)) if fresh else UNKNOWN
        rows.append([str(cell.number), cell.name, _status(cell), *marks, time])
    return ["cell", "run", "status", *kinds, "time"], rows


def _mark(kind: str, own: Sequence[PlannedStage], fresh: Sequence[PlannedStage]) -> str:
    here = [stage for stage in own if stage.stage == kind]
    if not here:
        return UNKNOWN
    running = [stage for stage in here if stage.status == "to run"]
    if not running:
        return "cached"
    return "runs" if any(stage in fresh for stage in running) else "shared"


def _status(cell: PlannedCell) -> str:
    return "to run" if cell.runs else cell.status


def remarks(plan: Plan) -> Iterator[str]:
    """The sentences below the table: disk, money, detectable differences, notes; without the warnings."""
    free = f"{size_text(plan.total['bytes'])} to be added, records included; {size_text(plan.free_bytes)} free"
    passing = f", besides {size_text(plan.peak_bytes)} while a model is fine-tuned" if plan.peak_bytes else ""
    yield f"disk: {free}{passing}"
    if plan.settings.price is not None:
        yield f"money: at {digits_text(plan.settings.price)} {plan.settings.currency} per device-hour, one device"
    yield from _basis_lines(plan)
    if plan.waves:
        yield _waves_text(plan.waves)
    yield from detectable_lines(plan)
    yield from plan.notes


def needed_lines(plan: Plan) -> Iterator[str]:
    """What a run needs and this machine lacks, under a head; what cannot be fetched for one reason stands together."""
    if plan.needed:
        yield "Needed before a run, and not on this machine:"
    for why in dict.fromkeys(one.why for one in plan.needed):
        yield from (f"  {one.part}: {one.what}" for one in plan.needed if one.why == why)
        if why:
            yield f"  ({why}; run once where it can be reached, or point at copies: pool.path=, model.path=, scorer.path=)"


def _waves_text(waves: Waves) -> str:
    """`waves on 4 workers: 3 shared stages in 40 s, then 24 cells in 12 min; 13 min in all`."""
    cut = f" ({counted_text(waves.shards, 'shard')} of features among them)" if waves.shards else ""
    first = (
        f"{counted_text(waves.stages, 'shared stage')}{cut} in {duration_text(waves.stages_s)}, then "
        if waves.stages
        else ""
    )
    cells = f"{counted_text(waves.cells, 'cell')} in {duration_text(waves.cells_s)}"
    whole = f"; {duration_text(waves.stages_s + waves.cells_s)} in all" if waves.stages else "; no stage is shared"
    return f"waves on {counted_text(waves.workers, 'worker')}: {first}{cells}{whole}"


BASES = {
    "measured": "measured by past stages",
    "scaled": "carried over from past stages with other options, another model or device",
    "guess": "guessed",
}


def _basis_lines(plan: Plan) -> Iterator[str]:
    """A sentence on how much of the time rests on measurements."""
    running = [stage for stage in plan.stages if stage.status == "to run"]
    total = sum(stage.seconds or 0.0 for stage in running)
    if not total:
        return
    shares = {basis: sum(s.seconds or 0.0 for s in running if s.basis == basis) / total for basis in BASES}
    yield "time: " + ", ".join(
        f"{percent_text(round(share, 2))} {BASES[basis]}" for basis, share in shares.items() if share
    )


def detectable_lines(plan: Plan) -> Iterator[str]:
    """For each suite and model the smallest difference that the planned seeds can show; one sentence where it is the same."""
    places: dict[str, list[tuple[str, str]]] = {}
    for place, group in groupby(plan.detectable, key=lambda row: (row.suite, row.model)):
        places.setdefault(_detectable_text(list(group)), []).append(place)
    for text, alike in places.items():
        yield f"{_places_text(alike)}: {text}"


def _places_text(places: Sequence[tuple[str, str]]) -> str:
    """`mmlu, gsm8k on llama-2-7b, llama-2-13b`, or each by itself if not every suite is there on every model."""
    suites, models = (list(dict.fromkeys(names)) for names in zip(*places))
    if len(places) == len(suites) * len(models):
        return f"{', '.join(suites)} on {', '.join(models)}"
    return ", ".join(f"{suite} on {model}" for suite, model in places)


def _detectable_text(rows: Sequence[Detectable]) -> str:
    """What the rows of one suite and model say; several rows differ in the spread that is assumed."""
    first = rows[0]
    if first.seeds < 2:
        return "one seed cannot show any difference; add seeds, as in seed=0,1,2"
    if first.spread is None:
        return f"{first.source}: what {first.seeds} seeds can show is not known before the first runs"
    shown = f"{first.seeds} seeds can show"
    if first.item_spread is None:
        about = "on the same test items: what the choice of items adds is not known before the first runs"
    else:
        about = f"on other items of the same tasks, whose choice adds a standard error of {two_digits_text(first.item_spread)}"
    power = f"(80 % power; verdicts corrected among {first.arms} arms, {about})"
    each = [
        f"a difference of {two_digits_text(row.difference)}, if the seed spread is {two_digits_text(row.spread)} ({row.source})"
        for row in rows
        if row.difference is not None and row.spread is not None
    ]
    if not first.guess:
        return f"{shown} {each[0]} {power}"
    if len(rows) == 1:
        return f"{shown} {each[0]} {power}; that spread is a guess"
    return f"a guess, as there are no past runs, for scores from 0 to 1: {shown} {', or '.join(each)} {power}"


def markdown(plan: Plan) -> str:
    """The table of stages, the remarks and the warnings."""
    rows = [list(HEAD), ["---", *["---:"] * 7, "---"], *stage_rows(plan)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    points = "\n".join(f"- {line}" for line in [*remarks(plan), *(f"**{warning}**" for warning in plan.warnings)])
    head, *needed = [*needed_lines(plan)] or [""]
    rest = "".join(f"{line}\n" for line in ("", head, "", *(f"- {line.strip()}" for line in needed)) if plan.needed)
    return f"{title(plan)}\n\n{table}\n\n{points}\n{rest}"


def cells_markdown(plan: Plan) -> str:
    """The table of cells."""
    head, rows = cell_rows(plan)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell for cell in row) + " |" for row in lines) + "\n"
