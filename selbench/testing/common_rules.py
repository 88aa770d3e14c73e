"""What every plugin must do, whatever its kind: round trips of options, and nothing done beside its work."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selbench.declare import WORK
from selbench.errors import NotApplicable
from selbench.held import as_written
from selbench.store.keys import digest, plugin_identity
from selbench.testing.findings import Finding, NotTested, Raised, at_work, expect, shown
from selbench.testing.subject import Subject
from selbench.testing.watched import Watched

Check = Callable[[Subject, Path], None]
HIDDEN = ("selbench.planted", "selbench_plugins.suites", "lm_eval")


def options_round_trip(subject: Subject, scratch: Path) -> None:
    """Every option has a default and a plain value, a plugin built from its options as JSON is equal, and the key of its
    results (`identity()`) and its `label()` can be made of them."""
    cls = subject.cls
    where = f"{shown(inspect.getsourcefile(cls) or '')}:{_line(cls)}, class {cls.__name__}"
    missing = [
        item.name
        for item in dataclasses.fields(cls)
        if item.init and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    expect(not missing, "a default for every option", f"none for {', '.join(missing)}", where)
    with at_work(cls, "__init__", "an instance of the plugin with the options of the check"):
        built = subject.made(subject.all_options)
    options = as_written(built)
    try:
        plain = json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        raise Finding("options of plain values: numbers, words, lists and mappings", str(error), where) from error
    with at_work(cls, "__init__", "an instance from the options of another"):
        again = subject.made(plain)
    changed = [name for name, value in as_written(again).items() if value != options[name]]
    expect(
        again == built and not changed,
        "options that are the same after a round trip through JSON",
        f"another value for {', '.join(changed) or 'the whole'}",
        where,
    )
    with at_work(built, "identity", "what the key of its results is made of"):
        one, other = (digest(plugin_identity(plugin)) for plugin in (built, again))
    expect(one == other, "one key for equal options", "two instances with equal options have different keys", where)
    if callable(getattr(built, "label", None)):
        with at_work(built, "label", "a line of text from label()"):
            label = built.label()
        good = isinstance(label, str) and label.strip() and len(label.splitlines()) == 1
        expect(bool(good), "one line of text from label()", repr(label), subject.place("label"))


def _line(cls: type) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 1


def unchanging_result(
    first: Callable[[Subject, Path], Any],
    second: Callable[[Subject, Path], Any],
    difference: Callable[[Any, Any], str],
) -> Callable[[Subject, Path], Any]:
    """A function that gives the first result, and raises NotTested if a second one, made the same way, differs from it.

    Where it does, comparing with a third can tell nothing else.
    """

    def result(subject: Subject, scratch: Path) -> Any:
        one = first(subject, scratch)
        try:
            said = difference(one, second(subject, scratch))
        except (Finding, NotApplicable):
            said = "the second call fails"
        if said:
            raise NotTested("two calls with the same seed differ, as another check says")
        return one

    return result


def watching(
    watched: Callable[[Subject, Path], Watched],
    difference: Callable[[Any, Any], str],
    unchanging: Callable[[Subject, Path], Any],
) -> tuple[Check, ...]:
    """The five checks that look at one call under watch.

    Args:
        watched: makes the call, or gives the one that was made.
        difference: of the results of two calls, in words; empty where they are the same.
        unchanging: the result of the call without a watch, made while the global generators had other seeds. Raises
            NotTested where two such calls differ.
    """

    def place(subject: Subject) -> str:
        return subject.place(WORK[subject.kind])

    def results(subject: Subject, scratch: Path) -> Watched:
        seen = watched(subject, scratch)
        if seen.error is not None:
            if isinstance(seen.error, NotTested):
                raise seen.error
            said = seen.error.found if isinstance(seen.error, Raised) else f"{type(seen.error).__name__}: {seen.error}"
            raise Finding(
                "the same result with other global seeds, while it is watched",
                said,
                getattr(seen.error, "where", "") or place(subject),
            )
        return seen

    def global_randomness_is_left_alone(subject: Subject, scratch: Path) -> None:
        """Global random state is neither read nor changed (python, numpy, torch)."""
        seen = results(subject, scratch)
        where = place(subject)
        for name in seen.randomness:
            wanted = f"{name} global random state to be left as it was: draw from context.rng"
            raise Finding(wanted, f"{name} global random state was changed", where)
        if not seen.changed:
            said = difference(unchanging(subject, scratch), seen.result)
            wanted = "the same result whatever the global seeds are: draw from context.rng"
            expect(not said, wanted, said, where)

    def process_is_left_as_it_was(subject: Subject, scratch: Path) -> None:
        """The working directory, the environment, sys.argv, the standard output and the settings of torch and NumPy are
        after a call what they were before: other cells run in the same process."""
        seen = results(subject, scratch)
        expect(not seen.process, "the process as it was", "; ".join(seen.process), place(subject))

    def nothing_is_written_outside_scratch(subject: Subject, scratch: Path) -> None:
        """Files are written, made and removed only under context.scratch, and in the caches of Python, numba and the
        hub."""
        seen = results(subject, scratch)
        if seen.written:
            path, line = seen.written[0]
            more = f", and {len(seen.written) - 1} more" if len(seen.written) > 1 else ""
            file, _, number = line.rpartition(":")
            where = f"{shown(file)}:{number}" if line else place(subject)
            raise Finding("files under context.scratch only", f"{path} was written{more}", where)

    def examples_are_left_alone(subject: Subject, scratch: Path) -> None:
        """Examples are not changed: other cells have the same ones in their hands. Copies may be
        (`dataclasses.replace`)."""
        seen = watched(subject, scratch)
        expect(
            not seen.changed,
            "the examples as they were given",
            f"it changed {seen.changed}",
            place(subject),
        )

    def neither_labels_nor_test_items_are_read(subject: Subject, scratch: Path) -> None:
        """Hidden labels (selbench.planted, the labels of a pool) and test items (suites, lm_eval) are neither imported by
        the method's module nor reached for while it works."""
        file = inspect.getsourcefile(subject.cls) or ""
        for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                known = any(name == hidden or name.startswith(f"{hidden}.") for hidden in HIDDEN)
                wanted = "a method that does not know hidden labels and test items"
                expect(not known, wanted, f"it imports {name}", f"{shown(file)}:{getattr(node, 'lineno', 1)}")
        seen = watched(subject, scratch)
        expect(
            not seen.reached,
            "a method that works without hidden labels and test items",
            f"while it works, it reaches for {', '.join(seen.reached)}",
            place(subject),
        )

    return (
        global_randomness_is_left_alone,
        process_is_left_as_it_was,
        nothing_is_written_outside_scratch,
        examples_are_left_alone,
        neither_labels_nor_test_items_are_read,
    )
