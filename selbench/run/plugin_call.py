"""Calling a plugin: what it does to the process becomes its own error, and the sweep around it goes on."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from selbench.api import Example
from selbench.errors import PluginError


def plugin_title(plugin: Any) -> str:
    """`selector 'mads'`."""
    return f"{plugin.plugin_kind} '{plugin.plugin_name}'"


def type_name(value: Any) -> str:
    """`None`, `a dict`: what a plugin gave instead of what it should."""
    return "None" if value is None else f"a {type(value).__name__}"


@contextmanager
def plugin_call(plugin: Any, method: str) -> Iterator[None]:
    """The block in which a method of a plugin is called.

    Raises PluginError if the plugin ends the process (`sys.exit`, `os._exit`) or raises something that is no
    Exception; KeyboardInterrupt and every Exception pass. The working directory and the standard streams are afterwards
    what they were before.
    """
    folder, streams = os.getcwd(), (sys.stdout, sys.stderr)
    try:
        with _exit_refused():
            yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(
            f"{plugin_title(plugin)} tried to end the process: {described(error)} in {method}()."
        ) from error
    finally:
        sys.stdout, sys.stderr = streams
        with suppress(OSError):  # the folder may be gone
            os.chdir(folder)


def described(error: BaseException) -> str:
    """`ValueError: no such layer`, also for an error whose text cannot be made."""
    try:
        text = str(error)
    except Exception as wrong:  # a stranger's __str__ may raise anything
        text = f"(its text cannot be made: {type(wrong).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def last_line(error: BaseException) -> str:
    """Where an error was raised: `mine.py, line 12`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "nowhere"


@contextmanager
def _exit_refused() -> Iterator[None]:
    """`os._exit` ends this process without a trace and with the status that the plugin likes; children may call it."""
    exit_now, here = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != here:
            exit_now(status)
        raise SystemExit(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = exit_now


@contextmanager
def examples_kept(
    plugin: Any, method: str, given: Sequence[Sequence[Example]], forget: Callable[[], None]
) -> Iterator[None]:
    """The block in which a plugin has examples in its hands: the sequences of `given`, pools or lists.

    If it has changed any of them, `forget` is called, so that nobody else meets them; then, unless the plugin raised
    something itself, PluginError is raised.
    """
    held = [list(examples) for examples in given]
    before = [[_content_hash(example) for example in examples] for examples in held]

    def first_change() -> str | None:
        """The id of the first example that is not as it was, or a word for the lot."""
        for examples, kept, hashes in zip(given, held, before):
            if len(examples) != len(kept) or any(now is not was for now, was in zip(examples, kept)):
                return "their order or number"
            for example, was in zip(kept, hashes):
                if _content_hash(example) != was:
                    return f"'{example.id}'"
        return None

    try:
        yield
    except BaseException:
        if first_change():
            forget()
        raise
    if change := first_change():
        forget()
        raise PluginError(
            f"{plugin_title(plugin)} changed the examples that it was given in {method}(): {change}. Copies may be "
            "changed (dataclasses.replace), the pool may not."
        )


def _content_hash(example: Example) -> int:
    """A hash of all that an example holds, for this process only; a stranger's pool may hold lists."""
    try:
        return hash((*vars(example).keys(), *vars(example).values()))
    except TypeError:
        return hash(repr(vars(example)))
