"""The two sides of a comparison: single runs by their keys, or arms over the seeds that both have."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selbench.errors import UserError, unknown
from selbench.store.axes import require_distinct_labels
from selbench.store.names import Names
from selbench.store.newest import current_results
from selbench.store.records import Record
from selbench.store.setting import Setting

NEAR = 5  # how many similar names an error message offers


@dataclass(frozen=True)
class Side:
    """One of the two sides that are compared."""

    name: str
    records: tuple[Record, ...]  # one per seed; an arm without a seed repeats its record
    seeds: tuple[int | None, ...]  # (None,) for a single run, and if neither arm has a seed

    @property
    def setting(self) -> Setting:
        """The setting that all its records share."""
        return Setting.of(self.records[0])


def find_sides(records: Sequence[Record], a: str, b: str, wanted: Mapping[str, str | None]) -> tuple[Side, Side]:
    """Both sides from what the user wrote: two labels of arms, or two runs (key, unique beginning of a key, or name).

    `wanted` (comparison, budget, model, suite; None: any) narrows the runs of arms down to one setting. Raises
    UserError for an unknown name, an ambiguous beginning, a run beside an arm, a run that did not finish, or arms that
    can be compared in no setting, in several, or under no common seed.
    """
    current = current_results(records).records
    names = Names.of(current)
    arms = {names.arm(record.axes) for record in [*current, *(r for r in records if r.status != "finished")]}
    for name in (a, b):
        _refuse_several_arms(name, current, names, arms)
    if a in arms and b in arms:
        return _find_arms(current, a, b, wanted, names)
    one, other = (None if name in arms else _find_run(records, name, arms) for name in (a, b))
    if one is None or other is None:
        raise UserError(
            f"'{a if one is None else b}' is an arm and '{b if one is None else a}' a run: name two of a kind."
        )
    if one.key == other.key:
        raise UserError(f"'{a}' and '{b}' are the same run, {one.key} ({one.name}).")
    return tuple(Side(f"{run.name} ({run.key[:8]})", (run,), (None,)) for run in (one, other))  # type: ignore[return-value]


def _refuse_several_arms(name: str, records: Sequence[Record], names: Names, arms: set[str]) -> None:
    """Raises UserError if the name leaves open which of several arms is meant, that differ in target or models."""
    meant = sorted({names.arm(record.axes) for record in records if record.axes.arm == name} - {name})
    if name not in arms and meant:
        raise UserError(f"'{name}' is several arms: name one of {', '.join(repr(arm) for arm in meant)}.")


def _find_run(records: Sequence[Record], name: str, arms: set[str]) -> Record:
    found = [record for record in records if record.key == name] or [r for r in records if r.key.startswith(name)]
    found = found or [record for record in records if record.name == name]
    if not found:
        near = difflib.get_close_matches(
            name, [*arms, *(r.key for r in records), *(r.name for r in records)], NEAR, 0.5
        )
        hint = f" Did you mean {' or '.join(repr(word) for word in near)}?" if near else ""
        raise UserError(
            f"unknown run or arm '{name}'.{hint} Arms: {', '.join(sorted(arms))}. A run is the name of its folder "
            f"under runs/ ({len(records)} there), or the beginning of it."
        )
    if len(found) > 1:
        told = ", ".join(f"{record.key} ({record.name})" for record in found[:NEAR])
        raise UserError(
            f"'{name}' is the beginning of {len(found)} runs: {told}{', ...' if len(found) > NEAR else ''}."
        )
    return _finished(found[0])


def _finished(record: Record) -> Record:
    if record.status != "finished":
        why = f": {record.reason}" if record.reason else ""
        raise UserError(f"run {record.key} ({record.name}) is {record.status}{why}. There is nothing to compare.")
    return record


def _find_arms(
    records: Sequence[Record], a: str, b: str, wanted: Mapping[str, str | None], names: Names
) -> tuple[Side, Side]:
    if a == b:
        raise UserError(f"'{a}' against itself: name two arms, or two runs by their keys.")
    kept = [record for record in records if all(_fits_option(record, name, value) for name, value in wanted.items())]
    for arm in (a, b):
        if not any(names.arm(record.axes) == arm for record in kept):
            raise UserError(_no_run_sentence([r for r in records if names.arm(r.axes) == arm], arm, wanted))
    require_distinct_labels(record.axes for record in kept if names.arm(record.axes) in (a, b))
    groups = {arm: _runs_by_setting([r for r in kept if names.arm(r.axes) == arm]) for arm in (a, b)}
    meetings = [(x, y) for x in groups[a] for y in groups[b] if x.meets(y)]
    if not meetings:
        raise UserError(
            f"'{a}' and '{b}' have no runs in one setting (same comparison, pool, model, trainer, suites, budget)."
        )
    if len(meetings) > 1:
        raise UserError(f"'{a}' and '{b}' meet in {len(meetings)} settings: {_choice_sentence(meetings)}")
    x, y = meetings[0]
    return _pair_by_seed(a, groups[a][x], b, groups[b][y])


def _fits_option(record: Record, name: str, value: str | None) -> bool:
    if value is None:
        return True
    # A budget may be written as it is shown or as it was typed; an arm without a budget fits any.
    if name == "budget":
        return not record.axes.budget_label or value in (record.axes.budget_label, str(record.axes.budget))
    if name == "suite":
        return value in record.axes.suite_keys
    return value == (record.comparison if name == "comparison" else record.axes.model)


def _no_run_sentence(own: Sequence[Record], arm: str, wanted: Mapping[str, str | None]) -> str:
    if not own:
        return f"no run of '{arm}' has finished."
    for name, value in wanted.items():
        if not any(_fits_option(record, name, value) for record in own):
            valid = {
                "comparison": {record.comparison for record in own},
                "budget": {record.axes.budget_label for record in own},
                "model": {record.axes.model for record in own},
                "suite": {suite for record in own for suite in record.axes.suite_keys},
            }[name]
            return f"'{arm}': " + unknown(name, value, valid)
    return f"no run of '{arm}' fits all of {', '.join(f'--{name} {value}' for name, value in wanted.items() if value)}."


def _runs_by_setting(records: Sequence[Record]) -> dict[Setting, dict[int | None, Record]]:
    """Setting -> seed -> record."""
    found: dict[Setting, dict[int | None, Record]] = {}
    for record in records:
        found.setdefault(Setting.of(record), {})[record.axes.seed] = record
    return found


def _choice_sentence(meetings: Sequence[tuple[Setting, Setting]]) -> str:
    """The options that would narrow the settings down, or what differs if no option would."""
    flags = {
        "--comparison": {x.comparison for x, _ in meetings},
        "--budget": {x.budget or y.budget for x, y in meetings},
        "--model": {x.model for x, _ in meetings},
    }
    open = [f"{flag} {'|'.join(sorted(values))}" for flag, values in flags.items() if len(values) > 1]
    if open:
        return f"choose with {', '.join(open)}."
    what = (
        "the content of the model" if len({x.model_key for x, _ in meetings}) > 1 else "pool, trainer or suite settings"
    )
    return f"they differ in {what}. Compare single runs by their keys instead."


def _pair_by_seed(a: str, one: dict[int | None, Record], b: str, other: dict[int | None, Record]) -> tuple[Side, Side]:
    fixed = [None in runs for runs in (one, other)]
    seeds: list[int | None] = sorted(
        {seed for runs, is_fixed in zip((one, other), fixed) if not is_fixed for seed in runs if seed is not None}
    ) or [None]  # type: ignore[assignment]
    seeds = [seed for seed in seeds if (fixed[0] or seed in one) and (fixed[1] or seed in other)]
    # A model trained elsewhere is one of a single seed, whichever that was.
    if any(None in runs and runs[None].selection.examples for runs in (one, other)):
        seeds = seeds[:1]
    if not seeds:
        raise UserError(f"'{a}' and '{b}' share no seed: run both under the same seeds.")
    sides = [
        Side(name, tuple(runs[None if is_fixed else seed] for seed in seeds), tuple(seeds))
        for name, runs, is_fixed in zip((a, b), (one, other), fixed)
    ]
    return sides[0], sides[1]
