"""`selbench plugins`: the plugins that were found, where each comes from, and which are broken."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from typing import Any

from selbench import console
from selbench.declare import help_without_options, option_help
from selbench.errors import UserError, unknown
from selbench.parts.part import Kind, part_class, part_names
from selbench.plugins import KINDS, Plugin, Registry, discover, plugin_path


def main(arguments: list[str]) -> int:
    """List all plugins, or print the help of those named. Exit status 1 if two have one name."""
    parser = argparse.ArgumentParser(
        prog="selbench plugins",
        description="List selectors, trainers, suites and pools with their origin and one line of help; broken ones with their "
        "error. With a NAME, also of a space or rule of selector=parts: its full help and its options. Plugins are found through "
        "entry points of the group 'selbench.plugins' and in the folders of plugin_path (or SELBENCH_PLUGIN_PATH).",
    )
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="NAME | plugin_path=DIR",
        help="the plugin to describe; a folder of plugins of yours",
    )
    args = parser.parse_args(arguments)
    registry = discover(plugin_path(args.settings))
    names = [word for word in args.settings if "=" not in word]
    if names:
        for name in names:
            _print_help(name, registry)
        return 0
    _print_list(registry)
    return 1 if registry.conflicts else 0


def _print_list(registry: Registry) -> None:
    from rich.table import Table
    from rich.text import Text

    for kind in KINDS:
        table = Table(title=f"{kind}s", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for column in ("name", "from", "what it does"):
            table.add_column(column, overflow="fold")
        for plugin in registry.of_kind(kind):
            table.add_row(Text(plugin.name), Text(plugin.package), Text(plugin.help))
        console.out.print(table)
        console.out.print()
    for broken in registry.broken:
        console.out.print(Text(f"broken: {broken.name} ({broken.origin}): {broken.error}", style="red"), soft_wrap=True)
    for conflict in registry.conflicts:
        console.out.print(Text(f"conflict: {conflict}", style="red"), soft_wrap=True)


def _print_help(name: str, registry: Registry) -> None:
    found = [plugin for (_, its_name), plugin in sorted(registry.plugins.items()) if its_name == name]
    found += _parts_named(name)
    for broken in registry.broken:
        if broken.name == name:
            raise UserError(f"'{name}' is broken: {broken.origin}: {broken.error}")
    if not found:
        raise UserError(unknown("plugin", name, (its_name for _, its_name in registry.plugins)))
    for plugin in found:
        _print_plugin(plugin)


def _parts_named(name: str) -> list[Plugin]:
    """The space or rule of this name, described as a plugin is."""
    kinds: tuple[Kind, ...] = ("space", "rule")
    classes = [(kind, part_class(kind, name)) for kind in kinds if name in part_names(kind)]
    return [Plugin(kind, name, cls, inspect.getfile(cls), cls.__module__.rpartition(".")[0]) for kind, cls in classes]


def _print_plugin(plugin: Plugin) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.out.print(Text(f"{plugin.kind} {plugin.name}", style="bold"))
    console.out.print(Text(f"{plugin.package}: {plugin.origin}\n", style="dim"), soft_wrap=True)
    console.out.print(Text(f"{help_without_options(plugin.cls)}\n"))
    helps = option_help(plugin.cls)
    for item in dataclasses.fields(plugin.cls):  # type: ignore[arg-type]
        line = Text.assemble((item.name, "bold"), f" = {_default_text(item)}")
        if choices := item.metadata.get("choices"):
            line.append("   " + " | ".join(map(str, choices)), style="cyan")
        console.out.print(line)
        if helps[item.name]:
            console.out.print(Padding.indent(Text(helps[item.name]), 4))
    if not helps:
        console.out.print(Text("no options"))


def _default_text(item: dataclasses.Field[Any]) -> str:
    if item.default_factory is not dataclasses.MISSING:
        return repr(item.default_factory())
    return "(required)" if item.default is dataclasses.MISSING else repr(item.default)
