"""`selbench`: runs and grids through Hydra, and the verbs, each of which is one short file in this folder."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from selbench import console
from selbench.cli import interrupt
from selbench.errors import UserError, unknown

if TYPE_CHECKING:
    from selbench.plugins import Registry

VERBS = {
    "demo": "run the comparison that ships with selbench (a few minutes) and print its leaderboard",
    "select": "select only: export the chosen examples as JSONL, and their ids",
    "inspect": "look at a selection: figures, and the data behind each",
    "leaderboard": "print and save the leaderboard of recorded runs",
    "compare": "compare two runs or two arms: scores, items, selections, costs",
    "sync": "send to MLflow the records that its server missed",
    "store": "list, verify and clean up the stored stages: ls, verify, gc",
    "plan": "say what a run or grid would do and cost, before it is run",
    "show": "show all about one run, stage or sweep: settings, command, data, code, stages",
    "rerun": "run a recorded run again, and compare it with its record",
    "plugins": "list selectors, trainers, suites and pools, with their origin and help",
    "check": "check that a selector keeps its contract",
}

HELP = """\
selbench: which data-selection method should you use for instruction tuning?

  selbench selector=mads budget=0.15 model=planted-1m          one run: select, fine-tune, evaluate, record
  selbench -m selector=random,mads budget=0.1,0.2 seed=0,1     a grid of runs, then their leaderboard
  selbench -m experiment=demo                                  a named grid
  selbench plan -m ...                                         what that grid would do and cost
  selbench VERB --help                                         one of the verbs below

Verbs
{verbs}

Settings of a run (key=value; with -m, comma-separated values make a grid)
{settings}

Options of the chosen plugin are set by name: selector.encoder=..., trainer.epochs=3, suite.planted.limit=10. In a grid,
selector.kcenter.encoder=... is for kcenter alone, selector.encoder=... for every selector that has the option; so for
pools, models, trainers, suites and targets.
`hydra/launcher=processes` carries out the cells of a grid at once (docs/launchers.md).
`selbench plugins NAME` lists a plugin's options. `selbench --cfg job [settings]` prints the composed configuration;
`--config-dir DIR` adds a folder of your own presets; `--hydra-help` shows Hydra's own flags. Records land in
outputs/runs, MLflow runs in outputs/mlflow.db.
"""


def main() -> None:
    """Entry point of the console script."""
    # PyTorch's CPU threads wait busily for a millisecond by default, and small models then run five times slower where
    # a core is shared. A short wait costs a quiet machine little (7.8 s instead of 6.9 s); none at all doubles the time.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    with interrupt.watched():
        status = run(sys.argv[1:])
        if status in interrupt.STATUSES.values():
            interrupt.end_now(status)
    sys.exit(status)


@console.warnings_shown()
def run(arguments: Sequence[str]) -> int:
    """The exit status: 0 for success, 1 if a run failed, 2 for a mistake of the user's, 130 or 143 if interrupted."""
    try:
        verb = arguments[0] if arguments else "--help"
        if verb in ("-h", "--help", "help"):
            print(help_text(), end="")
            return 0
        if verb == "--version":
            import selbench

            print(f"selbench {selbench.__version__}")
            return 0
        module, rest = (verb, arguments[1:]) if verb in VERBS else ("grid", arguments)
        if module == "grid" and "=" not in verb and not verb.startswith("-"):
            raise UserError(unknown("verb", verb, VERBS) + " A run is key=value settings; see selbench --help.")
        return int(importlib.import_module(f"selbench.cli.{module}").main(list(rest)))
    except UserError as error:
        console.fail(str(error))
        return 2
    except KeyboardInterrupt as error:
        number = interrupt.signal_of(error)
        console.fail(interrupt.message(number))
        return interrupt.STATUSES[number]
    except BrokenPipeError:  # `selbench plugins | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def help_text() -> str:
    """The help page, with the valid choices of every setting whose values are names."""
    from selbench.cli.options import config_dir_named
    from selbench.plugins import discover, plugin_path

    registry = discover(plugin_path(sys.argv[1:]))
    registry.config_dir = config_dir_named(sys.argv[1:])
    verbs = "\n".join(f"  {verb:<13}{text}" for verb, text in VERBS.items())
    return HELP.format(verbs=verbs, settings="\n".join(_setting_lines(registry)))


def _setting_lines(registry: Registry) -> Iterator[str]:
    """Every setting with its help; for settings whose values are names, also the valid names."""
    from selbench.presets import choices
    from selbench.settings import settings_help

    found = settings_help()
    told: dict[str, str] = {}
    for about in found:
        if about.group:
            names = ", ".join(choices(about.name, registry))
            yield _choice_lines(about.name, about.text, told.get(names, names))
            told[names] = f"any {about.name} above"
            if about.example:
                yield f"{'':14}{about.example}"
    yield _choice_lines("experiment", "a named set of settings", ", ".join(choices("experiment", registry)))
    for about in found:
        if not about.group:
            yield f"  {f'{about.name}={about.default}':<22} {about.text}"


def _choice_lines(group: str, text: str, names: str) -> str:
    return f"  {f'{group}=':<12}{text:<27}" + f"\n{'':41}".join(textwrap.wrap(names, 78))
