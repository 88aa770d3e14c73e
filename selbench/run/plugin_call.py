"""Calling a plugin: what it does to the process becomes its own error, and the sweep around it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

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
    Exception; KeyboardInterrupt and every Exception pass. The working directory is afterwards what it was before.
    """
    folder = os.getcwd()
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
        with suppress(OSError):  # the folder may be gone
            os.chdir(folder)


def described(error: BaseException) -> str:
    """`ValueError: no such layer`, also for an error whose text cannot be made."""
    try:
        text = str(error)
    except Exception as wrong:  # a stranger's __str__ may raise anything
        text = f"(its text cannot be made: {type(wrong).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
