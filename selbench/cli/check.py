"""`selbench check`: checks that a selector keeps the contract that docs/plugins.md states."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from selbench import console
from selbench.cli.options import add_config_dir
from selbench.errors import UserError
from selbench.plugins import plugin_path


def main(arguments: list[str]) -> int:
    """Exit status 0 if every check passes."""
    parser = argparse.ArgumentParser(
        prog="selbench check",
        description="Run the conformance suite on a selector: the same seed gives the same ids; the budget is met exactly; a "
        "smaller budget gives the beginning of a larger one, where the selector claims so; the order of the pool and "
        "global randomness change nothing; nothing is written outside the scratch folder; edge cases; two processes "
        "agree. It uses generated examples and the model planted-1m as scorer, and takes seconds.",
        epilog="example: selbench check kcenter selector.encoder=tfidf; selbench check mine plugin_path=my_methods",
    )
    parser.add_argument("selector", help="the selector's name, or a preset of it (see `selbench plugins`)")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="selector.option=value | plugin_path=DIR",
        help="the options to check it with; the folder of its plugin",
    )
    add_config_dir(parser)
    args = parser.parse_intermixed_args(arguments)
    from selbench.testing import Subject, selector_checks

    subject = Subject(*_plugin_and_options(args), [str(Path(p).resolve()) for p in plugin_path(args.settings)])
    subject.build()
    failed = 0
    for check in selector_checks:
        started, streams = time.perf_counter(), (sys.stdout, sys.stderr)
        with tempfile.TemporaryDirectory(prefix="selbench-check-") as scratch:
            try:
                check(subject, Path(scratch))
                verdict, detail = "[green]ok[/]    ", ""
            except UserError as error:
                verdict, detail = "[red]failed[/]", str(error)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may raise anything, or call sys.exit
                line = traceback.extract_tb(error.__traceback__)[-1]
                where = (
                    ""
                    if isinstance(error, AssertionError)
                    else f"{type(error).__name__} at {line.filename}:{line.lineno}: "
                )
                verdict, detail = "[red]failed[/]", f"{where}{error}"
            finally:
                sys.stdout, sys.stderr = streams  # a plugin may have put others in their place
        failed += bool(detail)
        console.out.print(
            f"{verdict} {check.__name__.replace('_', ' ')}  [dim]{time.perf_counter() - started:.1f} s[/]"
        )
        if detail:
            console.out.print(f"       rule: {check.__doc__}", markup=False)
            console.out.print(f"       {detail}", markup=False, soft_wrap=True)
    console.out.print(
        f"{args.selector}: {len(selector_checks) - failed} of {len(selector_checks)} checks passed", markup=False
    )
    return 1 if failed else 0


def _plugin_and_options(args: argparse.Namespace) -> tuple[str, dict[str, object]]:
    """The plugin's name and its options, checked as those of a run are; a preset stands for its plugin."""
    overrides = [text for text in args.settings if text.startswith("selector.")]
    if not overrides and not args.config_dir:
        return args.selector, {}
    import dataclasses

    from selbench.config import composed_run

    named = [text for text in args.settings if text.lstrip("+").startswith("plugin_path=")]
    chosen = composed_run([f"selector={args.selector}", *overrides, *named], args.config_dir).selector
    return chosen.plugin_name, dataclasses.asdict(chosen)
