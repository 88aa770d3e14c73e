"""Options that several verbs share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add --outputs, the folder that holds the records and the store."""
    default = Path(os.environ.get("SELBENCH_OUTPUTS", "outputs"))
    parser.add_argument(
        "--outputs", type=Path, default=default, metavar="DIR", help="the output folder (default: outputs)"
    )


def add_config_dir(parser: argparse.ArgumentParser) -> None:
    """Add --config-dir, a folder of the user's own presets."""
    parser.add_argument(
        "--config-dir", "-cd", type=Path, metavar="DIR", help="a folder of your own presets: pool/mine.yaml, ..."
    )


def config_dir_named(arguments: Sequence[str]) -> Path | None:
    """The value of --config-dir among the arguments of any verb; None without it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_config_dir(parser)
    named, _ = parser.parse_known_args(list(arguments))
    return Path(named.config_dir) if named.config_dir else None
