"""`selbench check`: checks that a plugin of any kind keeps the contract that docs/plugins.md states."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench import console
from selbench.cli.options import add_config_dir
from selbench.errors import UserError, unknown
from selbench.held import as_written
from selbench.plugins import KINDS, Registry, discover, plugin_path
from selbench.presets import choices

if TYPE_CHECKING:
    from selbench.testing import Subject

# What a kind of plugin is tested with, besides its own options.
WITH = {
    "selector": ("pool", "target", "scorer", "model"),
    "trainer": ("pool", "model"),
    "suite": ("model",),
    "pool": (),
}
ALWAYS = ("plugin_path", "data_root")
COLOURS = {"ok": "green", "failed": "red", "skipped": "yellow"}


def main(arguments: list[str]) -> int:
    """Exit status 0 if no check failed, 1 if one did; a check that does not apply is skipped and fails nothing."""
    parser = argparse.ArgumentParser(
        prog="selbench check",
        description="Run the conformance suite on a plugin. A selector: the same seed gives the same ids; the budget is met "
        "exactly; what is declared is true; order, global randomness and another process change nothing. A trainer: the "
        "model is trained, the loss falls, the context is kept, an interrupted training goes on. A suite: headlines are "
        "means of items, and items are the same for every model and seed. A pool: the same twice, and labels stay hidden. "
        "It uses generated examples and the model planted-1m. Without a name, all plugins are checked.",
        epilog="example: selbench check kcenter selector.encoder=/folder; selbench check mine plugin_path=my_methods "
        "pool=file pool.path=mine.jsonl; selbench check planted --kind suite",
    )
    parser.add_argument("name", nargs="?", help="the plugin's name, or a preset of it (see `selbench plugins`)")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="KIND.option=value | plugin_path=DIR | pool=NAME | target=NAME | scorer=NAME | model=NAME",
        help="the options to check it with; the folder of its plugin; for a selector or trainer the pool whose examples "
        "it is tested with; target and scorer of a selector; the model of a trainer or suite",
    )
    parser.add_argument("--kind", choices=KINDS, help="the kind, where plugins of several kinds have the name")
    add_config_dir(parser)
    args = parser.parse_intermixed_args(arguments)
    named = args.name is not None and "=" not in args.name
    settings = args.settings if named or args.name is None else [args.name, *args.settings]
    registry = discover(plugin_path(settings))
    registry.require_sound()
    registry.config_dir = args.config_dir and args.config_dir.expanduser().resolve()
    if named:
        subjects = _subjects(args.name, args.kind, settings, args.config_dir, registry)
        return _check_all(subjects, args.name if len(subjects) == 1 else "")
    _refuse_settings(settings, "", ())
    return _check_all(_everything(args.kind, settings, registry))


def _everything(kind: str | None, settings: Sequence[str], registry: Registry) -> list[Subject]:
    """All plugins of a kind or of every kind; with a typed plugin_path, those of its folders alone."""
    from selbench.testing import Subject

    folders = [str(Path(folder).expanduser().resolve()) for folder in plugin_path(settings)]
    typed = any(text.lstrip("+").startswith("plugin_path=") for text in settings)
    return [
        Subject(plugin.name, plugin_path=folders, kind=plugin.kind)
        for each in KINDS
        for plugin in registry.of_kind(each)
        if kind in (None, each)
        and (not typed or Path(plugin.origin).resolve().is_relative_to(_folder_that_holds(folders, plugin.origin)))
    ]


def _folder_that_holds(folders: Sequence[str], origin: str) -> str:
    """The folder or file among `folders` that holds a plugin; a path that holds nothing if there is none."""
    file = str(Path(origin).resolve())
    return next((folder for folder in folders if file == folder or file.startswith(folder + os.sep)), os.devnull)


def _check_all(subjects: Sequence[Subject], title: str = "") -> int:
    """Check one plugin after the other and print how each check comes out, under `title` or its name. The exit status."""
    with _no_warnings():
        totals = [_check(subject, title or subject.name, several=len(subjects) > 1) for subject in subjects]
    if len(subjects) > 1:
        failed = [subject.name for subject, count in zip(subjects, totals) if count]
        bad = f", {len(failed)} failed: {', '.join(failed)}" if failed else ", none failed"
        console.out.print(f"{len(subjects)} plugins checked{bad}", markup=False, soft_wrap=True)
    return 1 if any(totals) else 0


@contextmanager
def _no_warnings() -> Iterator[None]:
    """What a method warns of in examples as few as those of checks is no news."""
    logger = logging.getLogger("selbench")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check(subject: Subject, title: str, several: bool) -> int:
    """Check one plugin; the number of checks that failed."""
    from selbench.testing.outcomes import run_checks

    started = time.perf_counter()
    if several:
        console.out.print(f"[bold]{subject.kind} {subject.name}[/]")
    counts = dict.fromkeys(COLOURS, 0)
    for outcome in run_checks(subject):
        counts[outcome.verdict] += 1
        rule_name = outcome.check.replace("_", " ")
        word = f"[{COLOURS[outcome.verdict]}]{outcome.verdict:7}[/]"
        console.out.print(f"{word} {rule_name}  [dim]{outcome.seconds:.1f} s[/]")
        rule = [("rule", outcome.rule)] if outcome.verdict == "failed" else []
        for label, text in [*rule, *outcome.lines]:
            console.out.print(f"        {label + ':':10}{text}", markup=False, soft_wrap=True)
    done = counts["ok"] + counts["failed"]
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    seconds = time.perf_counter() - started
    console.out.print(
        f"{title}: {counts['ok']} of {done} checks passed{skipped} ({seconds:.0f} s)",
        markup=False,
        soft_wrap=True,
    )
    if replaced := {name: value for name, value in subject.replaced.items() if not isinstance(value, str | dict)}:
        options = ", ".join(f"{name}={value}" for name, value in replaced.items())
        console.out.print(f"{title}: checked with {options}, as its check_options() says", markup=False, soft_wrap=True)
    if not counts["failed"] and counts["skipped"] > done:
        with_pool = subject.kind in ("selector", "trainer") and subject.pool is None
        advice = ": name a pool that it applies to, as in pool=file pool.path=mine.jsonl" if with_pool else ""
        console.out.print(f"{title}: most of the contract was not tested{advice}", markup=False, soft_wrap=True)
    return counts["failed"]


# --------------------------------------------------------------------------------- from typed settings to plugins


def _subjects(
    name: str, kind: str | None, settings: Sequence[str], config_dir: Path | None, registry: Registry
) -> list[Subject]:
    """What is to be checked: one plugin, or the suites of a preset that names several.

    Raises UserError for a name that no plugin or preset has, or several have; and for a setting that means nothing here.
    """
    from selbench.testing import Subject

    kind = _kind_of(name, kind, settings, registry)
    folders = [str(Path(folder).expanduser().resolve()) for folder in plugin_path(settings)]
    plugin = registry.plugins.get((kind, name))
    _refuse_settings(settings, kind, [item.name for item in dataclasses.fields(plugin.cls)] if plugin else ())
    others = [text for text in settings if _key(text) not in ALWAYS]
    if plugin and not others:
        return [Subject(name, plugin_path=folders, kind=kind)]
    from selbench.config.runs import composed_run

    run = composed_run([f"{kind}={name}", *settings], config_dir)
    found = list(run.suites.values()) if kind == "suite" else [getattr(run, kind)]
    asked_for: dict[str, Any] = {}
    if _names(settings, "pool") and kind != "pool":
        asked_for["pool"] = _loaded(run.pool)
    if _names(settings, "target") and kind == "selector":
        asked_for["target"] = {target: _loaded(source) for target, source in run.targets.items()}
    if _names(settings, "scorer") and kind == "selector":
        asked_for["scorer"] = run.scorer
    elif _names(settings, "model"):
        asked_for["scorer"] = run.model
    typed = {text.lstrip("+~").partition("=")[0].split(".")[-1] for text in others if _key(text).startswith(f"{kind}.")}
    return [Subject(each.plugin_name, _set_options(each, typed), folders, kind=kind, **asked_for) for each in found]


def _kind_of(name: str, kind: str | None, settings: Sequence[str], registry: Registry) -> str:
    """The kind of a name. Raises UserError for an unknown name, and for one of several kinds unless `kind` is given."""
    kinds = [each for each in KINDS if name in choices(each, registry)]
    if kind:
        if kind not in kinds and not any(broken.name == name for broken in registry.broken):
            raise UserError(unknown(kind, name, choices(kind, registry)))
        return kind
    if len(kinds) > 1:
        raise UserError(
            f"'{name}' is the name of a {', a '.join(kinds)}: say which with --kind, as in --kind {kinds[0]}."
        )
    if kinds:
        return kinds[0]
    for broken in registry.broken:
        if broken.name == name:
            raise UserError(f"'{name}' is broken: {broken.origin}: {broken.error}")
    raise UserError(unknown("plugin", name, {known for each in KINDS for known in choices(each, registry)}))


def _refuse_settings(settings: Sequence[str], kind: str, options: Sequence[str]) -> None:
    """Raises UserError for a setting that means nothing to a check, with the spelling that was meant if it is known."""
    parts = WITH.get(kind, ())
    for text in settings:
        key = _key(text)
        if "=" not in text:
            raise UserError(f"'{text}' is not a setting: write key=value. `selbench check` takes one plugin at a time.")
        head = key.partition(".")[0]
        if key in ALWAYS or head in parts or (kind and key.startswith(f"{kind}.")):
            continue
        if key in options:
            raise UserError(f"{text}: an option is typed with its kind: {kind}.{text}")
        if key == kind:
            raise UserError(f"{text}: the {kind} is the one that is checked; leave the setting out.")
        valid = [*(f"{kind}.{option}" for option in options), *parts, *ALWAYS]
        if near := difflib.get_close_matches(key, options, n=1):
            raise UserError(
                f"unknown setting '{key}'. Did you mean '{kind}.{near[0]}'? Valid: {', '.join(sorted(valid))}."
            )
        raise UserError(unknown("setting", key, valid))


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _names(settings: Sequence[str], part: str) -> bool:
    """Whether a part is among the typed settings, or an option of it."""
    return any(_key(text).partition(".")[0] == part for text in settings)


def _loaded(source: Any) -> Any:
    from selbench.run.inputs import load_pool

    return load_pool(source).pool


def _set_options(plugin: Any, typed: set[str]) -> dict[str, Any]:
    """The options of a composed plugin that were typed, or that differ from their defaults."""
    plain, defaults = as_written(plugin), as_written(type(plugin)())
    return {name: value for name, value in plain.items() if name in typed or value != defaults[name]}
