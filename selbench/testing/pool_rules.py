"""What every pool must do, one check each. The docstring of a check is the rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selbench.api import Example, LoadedPool, Pool
from selbench.errors import NotApplicable, UserError
from selbench.store.keys import digest
from selbench.testing import common_rules
from selbench.testing.elsewhere import result_elsewhere
from selbench.testing.findings import Finding, NotTested, at_work, expect
from selbench.testing.subject import Subject
from selbench.testing.two_calls import first_result, second_result
from selbench.testing.watched import Watched, globals_seeded, watched_call

NOWHERE = "/nonexistent/selbench-check/no-such-file.jsonl"


def loaded(subject: Subject) -> LoadedPool:
    """What `load` of a new instance returns. Raises Finding for what is no LoadedPool, and with what it raised."""
    source = subject.build()
    with at_work(source, "load", "a LoadedPool from load()"):
        found = source.load()
    if not isinstance(found, LoadedPool) or not isinstance(found.pool, Pool) or not isinstance(found.labels, Mapping):
        what = (
            repr(found)[:80]
            if not isinstance(found, LoadedPool)
            else f"one with {type(found.pool).__name__} as its pool"
        )
        raise Finding("a LoadedPool of a Pool and a mapping of labels, from load()", what, subject.place("load"))
    return found


def first_pool(subject: Subject, scratch: Path) -> LoadedPool:
    """The pool that other checks look at. Raises NotTested if there is none."""
    return first_result(subject, lambda: loaded(subject))


def sound_pool(subject: Subject, scratch: Path) -> LoadedPool:
    """The same, for checks that read what the examples say. Raises NotTested if the examples are no plain text."""
    found = first_pool(subject, scratch)
    if wrong := next((what for example in found.pool if (what := _malformed(example))), None):
        raise NotTested(f"its examples are malformed, as another check says: {wrong}")
    return found


def second_pool(subject: Subject, scratch: Path) -> LoadedPool:
    """The same, loaded once more."""
    return second_result(subject, lambda: loaded(subject))


def watched(subject: Subject, folder: Path) -> Watched:
    """A load under watch. Raises NotTested if it does not load at all."""
    sound_pool(subject, folder)
    seen: Watched = subject.remember(
        "watched", lambda: watched_call(subject.example, "load", lambda: loaded(subject), folder)
    )
    return seen


def plain(found: LoadedPool) -> dict[str, Any]:
    """A pool as another process tells of it."""
    return {"fingerprint": found.pool.fingerprint, "ids": list(found.pool.ids), "labels": _labels_digest(found)}


def _labels_digest(found: LoadedPool) -> str:
    return digest({str(id): dict(row) for id, row in found.labels.items()})


# ------------------------------------------------------------------------------------------------ checks


def a_pool_is_loaded(subject: Subject, scratch: Path) -> None:
    """`load` returns a LoadedPool, whose ids are distinct, with one example at least."""

    def load() -> LoadedPool:
        with globals_seeded(0):
            return loaded(subject)

    try:
        subject.remember("first", load)
    except NotApplicable as reason:
        raise NotTested(f"the pool does not apply here: {reason}") from reason


def examples_are_plain_text(subject: Subject, scratch: Path) -> None:
    """Every field of an example is text that can be written as UTF-8; the id is not empty, the history is a tuple of
    (user, assistant) turns, and somewhere in the pool there are responses to learn from."""
    pool = first_pool(subject, scratch).pool
    for number, example in enumerate(pool, 1):
        if wrong := _malformed(example):
            raise Finding("examples of plain text with an id", f"example {number} {wrong}", subject.place("load"))
    expect(
        any(example.response.strip() for example in pool),
        "responses to learn from",
        f"{len(pool)} examples whose responses are all empty",
        subject.place("load"),
    )


def _malformed(example: Any) -> str:
    """What is wrong with an example, in words; empty if nothing is."""
    if not isinstance(example, Example):
        return f"is a {type(example).__name__}, not an Example"
    if not example.id:
        return "has an empty id"
    for item in dataclasses.fields(example):
        value = getattr(example, item.name)
        texts: Sequence[Any] = [value]
        if item.name == "history":
            if not isinstance(value, tuple) or any(
                not isinstance(turn, tuple | list) or len(turn) != 2 for turn in value
            ):
                return f"({example.id!r}) has the history {value!r}, not a tuple of (user, assistant) turns"
            texts = [text for turn in value for text in turn]
        for text in texts:
            if not isinstance(text, str):
                return f"({example.id!r}) has {text!r} for {item.name}, which is a {type(text).__name__} and no text"
            try:
                text.encode()
            except UnicodeEncodeError:
                return f"({example.id!r}) has a {item.name} that cannot be written as UTF-8"
    return ""


def loads_the_same_twice(subject: Subject, scratch: Path) -> None:
    """Two loads give the same examples in the same order, and the same labels: the fingerprint is part of every key."""
    said = _difference(sound_pool(subject, scratch), second_pool(subject, scratch))
    expect(not said, "the same pool from two loads", said, subject.place("load"))


def hidden_labels_are_hidden(subject: Subject, scratch: Path) -> None:
    """Labels are of the pool's own examples, all with the same names, and cannot be read off the examples' ids, sources,
    categories or system prompts, which selectors see."""
    found = sound_pool(subject, scratch)
    if not found.labels:
        raise NotTested("the pool has no hidden labels")
    where = subject.place("load")
    foreign = sorted(str(id) for id in set(found.labels) - set(found.pool.ids))
    expect(
        not foreign, "labels of the pool's own examples", f"labels of {len(foreign)} other ids: {foreign[:3]}", where
    )
    names = {id: tuple(row) for id, row in found.labels.items()}
    first_id, first = next(iter(names.items()))
    odd = next((id for id, own in names.items() if set(own) != set(first)), None)
    expect(
        odd is None,
        "the same labels for every example that has any",
        f"{first_id!r} has {', '.join(first)} and {odd!r} has {', '.join(names[odd]) if odd else ''}",
        where,
    )
    for name in first:
        values = {id: str(row[name]) for id, row in found.labels.items()}
        if len(set(values.values())) < 2 or all(len(value) < 2 for value in values.values()):
            continue
        for part in ("id", "source", "category", "system"):
            shown = {id: str(getattr(found.pool[found.pool.position(id)], part)) for id in values}
            given_away = all(value in shown[id] if part == "id" else value == shown[id] for id, value in values.items())
            id = next(iter(values))
            expect(
                not given_away,
                f"the label '{name}' to be hidden from selectors",
                f"the {part} of every example says it: {shown[id]!r} where the label is {values[id]!r}",
                where,
            )


def a_missing_file_is_explained(subject: Subject, scratch: Path) -> None:
    """Where there is an option `path`, a file that does not exist gives a UserError that names it, and no traceback."""
    if "path" not in {item.name for item in dataclasses.fields(subject.cls)}:
        raise NotTested("it has no option 'path'")
    options = subject.all_options if subject.options else {}  # those for the checks alone need not be known for this
    try:
        subject.cls(**{**options, "path": NOWHERE}).load()
    except UserError as error:
        expect(NOWHERE in str(error), f"a message that names {NOWHERE}", str(error), subject.place("load"))
    except NotApplicable as reason:
        raise NotTested(str(reason)) from reason
    except Exception as error:
        wanted = "UserError: what is wrong, in a sentence"
        raise Finding(
            f"{wanted}, for path={NOWHERE}", f"{type(error).__name__}: {error}", subject.place("load")
        ) from error
    else:
        raise Finding(f"UserError for path={NOWHERE}", "a pool, as if the file were there", subject.place("load"))


def two_processes_agree(subject: Subject, scratch: Path) -> None:
    """Another process, with another hash seed, loads the same."""
    here = plain(unchanging(subject, scratch))
    there = result_elsewhere(subject, work_elsewhere(subject, scratch))
    part = next((name for name in ("ids", "fingerprint", "labels") if here[name] != there[name]), None)
    words = {"ids": "other ids, or in another order", "fingerprint": "other examples", "labels": "other hidden labels"}
    expect(
        part is None,
        "the same pool in another process (sets and hash() have another order there)",
        words[part] if part else "",
        subject.place("load"),
    )


def work_elsewhere(subject: Subject, scratch: Path) -> dict[str, Any]:
    """What the other process is asked to do."""
    return {"scratch": str(scratch)}


def _difference(one: LoadedPool, other: LoadedPool) -> str:
    """Where two loads part, in words; empty where they are the same."""
    if len(one.pool) != len(other.pool):
        return f"{len(one.pool)} examples, and then {len(other.pool)}"
    for number, (a, b) in enumerate(zip(one.pool, other.pool), 1):
        if a != b:
            part = next(item.name for item in dataclasses.fields(a) if getattr(a, item.name) != getattr(b, item.name))
            return f"example {number} has another {part}: {str(getattr(a, part))[:40]!r}, and then {str(getattr(b, part))[:40]!r}"
    return "" if _labels_digest(one) == _labels_digest(other) else "other hidden labels"


unchanging = common_rules.unchanging_result(sound_pool, second_pool, _difference)

# A pool is given no examples, and may know its labels.
watching = common_rules.watching(watched, _difference, unchanging)[:3]

pool_checks: tuple[Callable[[Subject, Path], None], ...] = (
    common_rules.options_round_trip,
    a_pool_is_loaded,
    examples_are_plain_text,
    loads_the_same_twice,
    hidden_labels_are_hidden,
    a_missing_file_is_explained,
    *watching,
    two_processes_agree,
)
