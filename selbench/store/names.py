"""The names under which pools, models, targets, trainers and suites of some records are shown: two things, two names.

Facts decide what is one thing: the hashes in the axes of a record. A name is what its owner has called it; only where two
things share it are the options that differ added, or else the beginning of the hash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selbench.addresses import flat_options
from selbench.declare import POOL_FILTERS
from selbench.store.axes import Axes, arm_name
from selbench.store.records import Record

LONGEST = 24  # characters of an option's value that may stand in a name
MOST = 2  # options that may stand in a name
SHORTEST = 4  # digits of a hash that stand in a name at least


@dataclass(frozen=True)
class Thing:
    """A pool, model, target, trainer or suite of a record."""

    name: str
    key: str  # a hash of what it is; empty if unknown
    options: Mapping[str, Any]  # as the record's configuration holds them
    beside: str = ""  # what stands beside the name anyway; things that differ in it are apart already


Shown = Mapping[tuple[str, str], str]  # name and key of a thing -> the name under which it is shown


def distinct_names(things: Iterable[Thing]) -> Shown:
    """The names of these things, each told apart from the others of its name: `toy (template=chat)`, `mine #3fa2`.

    Options that differ stand in the name if there are up to MOST, all short; a path counts by its last part.
    """
    by_name: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for thing in things:
        by_name.setdefault((thing.name, thing.beside), {}).setdefault(thing.key, dict(flat_options(thing.options)))
    found: dict[tuple[str, str], str] = {}
    for (name, _), options in by_name.items():
        words = (
            (_differing_options(options) or _short_hashes(options)) if len(options) > 1 else dict.fromkeys(options, "")
        )
        found |= {(name, key): f"{name} {word}".strip() for key, word in words.items()}
    return found


def _differing_options(things: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Key -> `(option=value)` for things of one name; empty if these words would be long, or would not tell them apart."""
    options = [name for name in dict.fromkeys(name for own in things.values() for name in own) if name != "name"]
    differing = [name for name in options if len({repr(own.get(name)) for own in things.values()}) > 1]
    if not 0 < len(differing) <= MOST or not all(things.values()):
        return {}
    values = {key: [_value_text(own.get(name)) for name in differing] for key, own in things.items()}
    if len(set(map(tuple, values.values()))) < len(values) or any(
        len(v) > LONGEST for own in values.values() for v in own
    ):
        return {}
    short = [name.rpartition(".")[2] for name in differing]
    shown = short if len(set(short)) == len(short) else differing
    return {key: f"({', '.join(f'{name}={value}' for name, value in zip(shown, own))})" for key, own in values.items()}


def _short_hashes(keys: Iterable[str]) -> dict[str, str]:
    """Key -> `#` and its beginning, as many digits as tell it from the others; empty for an unknown key."""
    known = list(keys)
    digits = next(n for n in range(SHORTEST, 1000) if len({key[:n] for key in known}) == len(set(known)))
    return {key: f"#{key[:digits]}" if key else "" for key in known}


def _value_text(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return str(value).rstrip("/").rpartition("/")[2] if isinstance(value, str) else str(value)


@dataclass(frozen=True)
class Names:
    """The shown names of everything in some records."""

    pools: Shown
    models: Shown  # scorers too
    targets: Shown
    trainers: Shown
    suites: Shown  # only what tells a suite from others of its name; empty for most

    @classmethod
    def of(cls, records: Sequence[Record]) -> Names:
        """The names in these records, of which those that finished count."""
        runs = [(record.axes, record.config) for record in records if record.status == "finished"]
        models = [Thing(axes.model, axes.model_key, _options(config, "model")) for axes, config in runs]
        scorers = [
            Thing(axes.scorer, axes.scorer_key or "", _options(config, "scorer") or _options(config, "model"))
            for axes, config in runs
            if axes.scorer
        ]
        suites = distinct_names(
            Thing(suite, key, _options(_options(config, "suite"), suite))
            for axes, config in runs
            for suite, key in axes.suite_keys.items()
        )
        return cls(
            pools=distinct_names(
                Thing(axes.pool, axes.pool_key, _without_filters(_options(config, "pool"))) for axes, config in runs
            ),
            models=distinct_names([*models, *scorers]),
            targets=distinct_names(
                Thing(axes.target, axes.target_key or "", _without_filters(_options(config, "target")))
                for axes, config in runs
                if axes.target
            ),
            trainers=distinct_names(
                Thing(axes.trainer, axes.trainer_key or "", _options(config, "trainer"), axes.match or "")
                for axes, config in runs
                if axes.trainer
            ),
            suites={(name, key): text[len(name) :].strip() for (name, key), text in suites.items()},
        )

    def pool(self, axes: Axes) -> str:
        return self.pools.get((axes.pool, axes.pool_key), axes.pool)

    def model(self, axes: Axes) -> str:
        return self.models.get((axes.model, axes.model_key), axes.model)

    def scorer(self, axes: Axes) -> str:
        """The name of the scorer; empty for an arm without one."""
        name = axes.scorer or ""
        return self.models.get((name, axes.scorer_key or ""), name)

    def target(self, axes: Axes) -> str:
        """The name of the target; empty for an arm without one."""
        name = axes.target or ""
        return self.targets.get((name, axes.target_key or ""), name)

    def trainer(self, axes: Axes) -> str:
        """The name of the trainer; empty for the base model."""
        name = axes.trainer or ""
        return self.trainers.get((name, axes.trainer_key or ""), name)

    def suite_options(self, axes: Axes, suite: str) -> str:
        """What tells the suite from others of its name; empty where it is the only one."""
        return self.suites.get((suite, axes.suite_keys.get(suite, "")), "")

    def arm(self, axes: Axes) -> str:
        """The arm as the leaderboard of these records calls it; its target is named only where they have several."""
        target = self.target(axes) if len(self.targets) > 1 else ""
        return arm_name(axes.selector, self.scorer(axes), self.model(axes), target)


def _options(config: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    found = config.get(part)
    return found if isinstance(found, Mapping) else {}


def _without_filters(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the options that the names of pools and targets tell anyway, where they have an effect."""
    return {
        name: _without_filters(value) if isinstance(value, Mapping) else value
        for name, value in options.items()
        if name not in POOL_FILTERS
    }


def with_known_keys(records: Sequence[Record]) -> list[Record]:
    """The records, in which one thing has one name and, where that is certain, its key.

    Records from before keys of models and targets were noted take over the key of the only thing of that name. Runs with
    one key are shown together, under the name that it had first, even if its name has changed since.
    """
    models, targets = _Known(), _Known()
    pools = _Known()
    for record in records:
        axes = record.axes
        pools.add(axes.pool, axes.pool_key)
        models.add(axes.model, axes.model_key)
        models.add(axes.scorer, axes.scorer_key)
        targets.add(axes.target, axes.target_key)
    return [_replaced(record, pools, models, targets) for record in records]


def _replaced(record: Record, pools: _Known, models: _Known, targets: _Known) -> Record:
    axes = record.axes
    changed = dataclasses.replace(
        axes,
        pool=pools.name(axes.pool, axes.pool_key),
        model=models.name(axes.model, axes.model_key),
        model_key=models.key(axes.model, axes.model_key) or "",
        scorer=models.name(axes.scorer, axes.scorer_key),
        scorer_key=models.key(axes.scorer, axes.scorer_key),
        target_key=targets.key(axes.target, axes.target_key),
    )
    return record if changed == axes else dataclasses.replace(record, axes=changed)


class _Known:
    """The names and keys of one kind of thing."""

    def __init__(self) -> None:
        self._keys: dict[str, set[str]] = {}
        self._names: dict[str, str] = {}

    def add(self, name: str | None, key: str | None) -> None:
        if name and key:
            self._keys.setdefault(name, set()).add(key)
            self._names.setdefault(key, name)

    def key(self, name: str | None, key: str | None) -> str | None:
        """The key, or if it is unknown that of the only thing of this name."""
        known = self._keys.get(name or "", set())
        return key or (next(iter(known)) if len(known) == 1 else key)

    def name(self, name: Any, key: str | None) -> Any:
        """The first name of what has this key; `name` if the key is unknown."""
        return self._names.get(key or "", name)
