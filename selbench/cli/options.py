"""Options that several verbs share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """The option that says where records and the store are."""
    default = Path(os.environ.get("SELBENCH_OUTPUTS", "outputs"))
    parser.add_argument("--outputs", type=Path, default=default, help="the output folder (default: outputs)")


def add_config_dir(parser: argparse.ArgumentParser) -> None:
    """The option that names a folder of presets of the user's own."""
    parser.add_argument(
        "--config-dir", "-cd", type=Path, metavar="DIR", help="a folder with presets of yours: pool/mine.yaml, ..."
    )


def config_dir_named(arguments: Sequence[str]) -> Path | None:
    """The folder that `--config-dir` names among arguments of any kind."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_config_dir(parser)
    named, _ = parser.parse_known_args(list(arguments))
    return Path(named.config_dir) if named.config_dir else None
