"""Which recorded results stand on a board: those by the newest code of each selector, trainer and suite.

A result by older code is never averaged with one by newer code. The newest code of a plugin with its options is that of the run
that was asked for last.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selbench.errors import UserError
from selbench.store.names import with_known_keys
from selbench.store.records import Record

NAMED = 3  # runs that a sentence names

Cell = tuple[Hashable, ...]
Result = tuple[Record, str]  # a run and one of its suites


@dataclass(frozen=True)
class Current:
    """The results that stand, and those that are left out."""

    records: list[Record]  # finished; without the scores of suites whose code has changed since
    left_out: list[Record] = field(default_factory=list)  # those of which a result is left out
    outdated: list[Record] = field(default_factory=list)  # those of them that no newer run replaces

    def sentence(self) -> str:
        """How many runs are left out, and the command that brings them up to date; empty if there is none."""
        if not self.left_out:
            return ""
        one = len(self.left_out) == 1
        # What a selector reads of the hub, as an encoder, is in its key like its code.
        hub = any(row.part == "selector" for record in self.left_out for row in record.hub)
        older = "older code or at another commit on the hub" if hub else "older code"
        said = f"{len(self.left_out)} run{'' if one else 's'} by {older} {'is' if one else 'are'} left out"
        if not self.outdated:
            return f"{said}: newer runs of the same cells stand in {'its' if one else 'their'} place."
        names = [record.name for record in self.outdated[:NAMED]]
        if len(self.outdated) > NAMED:
            names.append(f"{len(self.outdated) - NAMED} more")
        which = "" if len(self.outdated) == len(self.left_out) else f"{len(self.outdated)} of them have no newer run: "
        commands = Counter(_command(record) for record in self.outdated if record.command).most_common()
        if not commands:
            return f"{said} ({which}{', '.join(names)}): run the same commands again to bring them up to date."
        others = (
            f" (and {len(commands) - 1} more commands: `selbench show KEY` names that of a run)" if commands[1:] else ""
        )
        return f"{said} ({which}{', '.join(names)}). Up to date by: {commands[0][0]}{others}"


def current_results(records: Iterable[Record]) -> Current:
    """The results of the finished records that stand on one board, in the order of the records.

    Records from before the code was noted count as of one version; of several such on one place the last counts. Raises
    UserError if two other runs fall on one place of a board.
    """
    finished = with_known_keys([record for record in records if record.status == "finished"])
    names = _options_names(finished)
    kept = [(record, suite) for record in finished for suite in _suites(record)]
    for group, version in (
        (lambda run, suite: names[id(run)]["suites"][suite], lambda run, suite: run.axes.suite_keys.get(suite)),
        (lambda run, suite: names[id(run)]["trainer"], lambda run, suite: run.axes.trainer_key),
        (lambda run, suite: _selector(run), lambda run, suite: run.axes.selector_code_key),
    ):
        kept = _newest(kept, group, version)
    kept = _one_per_place(kept)
    standing = {(id(run), suite) for run, suite in kept}
    measured = {(what, suite) for run, suite in kept for what in (run.key, _evaluation(run, suite)) if what}
    cells = {(_cell(run, names[id(run)]), suite) for run, suite in kept}
    left_out, outdated = [], []
    for run in finished:
        lost = [suite for suite in _suites(run) if (id(run), suite) not in standing]
        if any(not {(run.key, suite), (_evaluation(run, suite), suite)} & measured for suite in lost):
            left_out.append(run)
            if any((_cell(run, names[id(run)]), suite) not in cells for suite in lost):
                outdated.append(run)
    return Current(
        [_with_suites(run, own) for run in finished if (own := {s for s in _suites(run) if (id(run), s) in standing})],
        left_out,
        outdated,
    )


def _suites(run: Record) -> list[str]:
    return list(dict.fromkeys([*run.headline, *run.axes.suite_keys]))


def _evaluation(run: Record, suite: str) -> str | None:
    """The key of the stage in which the suite was evaluated; None if unknown."""
    return run.stages.get(f"evaluation/{suite}")


def _newest(
    results: Sequence[Result], group: Callable[[Record, str], Any], version: Callable[[Record, str], Any]
) -> list[Result]:
    """The results of the version that the last run of their group has; a group of None is kept whole."""
    last: dict[Any, tuple[str, Any]] = {}
    for run, suite in results:
        name, when = (run.comparison, group(run, suite)), run.asked or run.created
        if name not in last or when >= last[name][0]:
            last[name] = when, version(run, suite)
    return [
        (run, suite)
        for run, suite in results
        if group(run, suite) is None or last[run.comparison, group(run, suite)][1] == version(run, suite)
    ]


def _one_per_place(results: Sequence[Result]) -> list[Result]:
    """One result for each place on a board. Raises UserError for two runs that differ in what no board shows."""
    found: dict[Any, Result] = {}
    for run, suite in results:
        place = (_cell(run, {"trainer": run.axes.trainer_key}), run.axes.suite_keys.get(suite), suite)
        before = found.get(place, (run, suite))[0]
        if not (
            _same_measurement(before, run, suite) or None in (before.axes.selector_code_key, run.axes.selector_code_key)
        ):
            raise UserError(
                f"the runs {before.key} and {run.key} would both be '{run.name}' on the board, but differ in "
                f"{_difference(before, run)}. Leave one of them out, with --comparison or --sweep, or name them apart."
            )
        found[place] = run, suite
    kept = {(id(run), suite) for run, suite in found.values()}
    return [(run, suite) for run, suite in results if (id(run), suite) in kept]


def _same_measurement(one: Record, other: Record, suite: str) -> bool:
    """Whether both are one run, or rest on the same evaluation, as when a suite was added to a grid."""
    stage = _evaluation(one, suite)
    return one.key == other.key or (stage is not None and stage == _evaluation(other, suite))


def _difference(one: Record, other: Record) -> str:
    """What differs between two runs, as `budget (0.1 and 0.2)`."""
    a, b = ({**record.config, **record.axes.plain()} for record in (one, other))
    names = [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name) and name not in ("suite", "suites")]
    return ", ".join(f"{name} ({a.get(name)} and {b.get(name)})" for name in names[:NAMED]) or "what no record holds"


def _selector(run: Record) -> str:
    return run.axes.selector_key or run.axes.selector


def _cell(run: Record, names: Mapping[str, Any]) -> Cell:
    """What a run is a run of, but for suites and the code of plugins."""
    axes = run.axes
    return (
        run.comparison, axes.pool_key, axes.model, axes.model_key, names["trainer"], axes.selector, _selector(run), axes.scorer,
        axes.scorer_key, axes.target, axes.target_key, axes.budget_label, axes.seed,
    )  # fmt: skip


def _options_names(records: Sequence[Record]) -> dict[int, dict[str, Any]]:
    """For each record (by its id): a name of its trainer, and of each suite, with their options but without their code.

    A record from before these names were noted has that of a record with the same key or the same configuration.
    """
    known: dict[Any, str] = {}
    for record in records:
        for part, key, options in _plugins(record):
            if options:
                known[part, key] = known[part, _configured(record, part)] = options
    found = {}
    for record in records:
        own = {
            part: (part, options or known.get((part, key)) or known.get((part, _configured(record, part))) or key)
            for part, key, options in _plugins(record)
        }
        trainer = next((name for part, name in own.items() if part[0] == "trainer"), None)
        suites = {part[1]: name for part, name in own.items() if part[0] == "suite"}
        found[id(record)] = {"trainer": trainer, "suites": {suite: suites.get(suite) for suite in _suites(record)}}
    return found


def _plugins(record: Record) -> Iterable[tuple[tuple[str, str], str, str]]:
    """Kind and name, key, and key of the options ("" if unknown) of the trainer, if any, and of each suite."""
    axes = record.axes
    if axes.trainer_key:
        yield ("trainer", axes.trainer or ""), axes.trainer_key, axes.trainer_options_key or ""
    for suite, key in axes.suite_keys.items():
        yield ("suite", suite), key, axes.suite_options_keys.get(suite, "")


def _configured(record: Record, part: tuple[str, str]) -> str | None:
    """The options of a part as the record's configuration holds them; None if it does not."""
    kind, name = part
    options = record.config.get(kind)
    options = options.get(name) if kind == "suite" and isinstance(options, Mapping) else options
    return None if options is None else "options " + json.dumps(options, sort_keys=True, default=str)


def _with_suites(run: Record, suites: set[str]) -> Record:
    if suites >= set(_suites(run)):
        return run
    keys = {suite: key for suite, key in run.axes.suite_keys.items() if suite in suites}
    axes = dataclasses.replace(run.axes, suite_keys=keys, suites=tuple(sorted(suites)))
    return dataclasses.replace(run, axes=axes, scores=[row for row in run.scores if row.suite in suites])


def _command(record: Record) -> str:
    """The command that the run came from, without the name of its sweep."""
    return shlex.join(word for word in shlex.split(record.command) if not word.startswith("sweep="))
