"""`selbench`: a Hydra program with verbs beside it. Each verb is one short file in this folder."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from selbench import console
from selbench.errors import UserError, unknown
from selbench.presets import presets

VERBS = {
    "demo": "run the embedded comparison (a few minutes) and print its leaderboard",
    "select": "selection only: export the chosen examples as JSONL or ids",
    "inspect": "look at a selection: figures and the data behind each",
    "leaderboard": "print and save the table over recorded runs",
    "compare": "two runs or two arms side by side: scores, items, selections, costs",
    "sync": "send to MLflow what a server that was away has missed",
    "store": "what is kept, whether it is whole, and space back: ls, verify, gc",
    "plan": "what a run or grid would do and cost, before anything is spent",
    "show": "all about one run, stage or sweep: settings, command, data, code, stages",
    "rerun": "a recorded run once more, compared with its record",
    "plugins": "list selectors, trainers and suites, with origin and help",
    "check": "run the conformance suite on a selector",
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
  pool=       what is selected from      {pool}
              a file of yours: pool=file pool.path=mine.jsonl; a hub data set: pool=hub pool.hub=owner/name
  selector=   who selects                {selector}
  budget=     how much: 0.15 is a share, 7800 a number; budget_unit=examples|tokens
  model=      what is fine-tuned         {model}
              a folder of yours: model=local model.path=/path/to/folder
  scorer=     what the selector looks through: any model above (default: the model itself)
  trainer=    how it is fine-tuned       {trainer}
  suite=      what scores it             {suite}; several: suite=[a,b]
  seed=       0, 1, ...                  experiment=  {experiment}
  tracking=   mlflow, none               keep_models=true  output_dir=outputs  data_root=$SELBENCH_DATA
  reuse=      missing: do what is missing; verify: also refuse what is damaged; none: do all again
  retry=      failed, skipped or all: run again what ended so        fail_fast=true: stop at the first failure

Options of the chosen plugin are set by name: selector.encoder=..., trainer.epochs=3, suite.planted.limit=10.
`selbench plugins NAME` lists a plugin's options. `selbench --cfg job [settings]` prints the composed configuration;
`--hydra-help` shows Hydra's own flags. Records land in outputs/runs, MLflow runs in outputs/mlflow.db.
"""


def main() -> None:
    """Entry point of the console script."""
    # PyTorch's CPU threads wait busily for a millisecond by default, and small models then run five times slower where
    # a core is shared. A short wait costs a quiet machine little (7.8 s instead of 6.9 s); none at all doubles the time.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    sys.exit(run(sys.argv[1:]))


@console.warnings_shown()
def run(arguments: Sequence[str]) -> int:
    """The exit status: 0 fine, 1 something failed, 2 the user can mend it, 130 interrupted."""
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
    except KeyboardInterrupt:
        console.fail("interrupted. What was finished is kept: the same command goes on from there.")
        return 130
    except BrokenPipeError:  # `selbench plugins | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def help_text() -> str:
    """The help page, with the valid choices of every group."""
    import textwrap

    from selbench.plugins import discover

    registry = discover(plugin_path(sys.argv[1:]))
    groups = {}
    for group in ("pool", "selector", "model", "trainer", "suite", "experiment"):
        names = [*presets(group), *(plugin.name for plugin in registry.of_kind(group))]
        groups[group] = textwrap.fill(", ".join(sorted(set(names))), 78, subsequent_indent=" " * 41)
    verbs = "\n".join(f"  {verb:<13}{text}" for verb, text in VERBS.items())
    return HELP.format(verbs=verbs, **groups)


def plugin_path(arguments: Sequence[str]) -> list[str]:
    """The folders of `plugin_path=a` or `plugin_path=[a,b]`, else of SELBENCH_PLUGIN_PATH (separated like PATH).

    Read before Hydra starts, because what they hold becomes part of the valid configuration.
    """
    for argument in reversed(arguments):
        key, _, value = argument.lstrip("+").partition("=")
        if key == "plugin_path":
            return [part.strip(" '\"") for part in value.strip("[]").split(",") if part.strip()]
    return [part for part in os.environ.get("SELBENCH_PLUGIN_PATH", "").split(os.pathsep) if part]
