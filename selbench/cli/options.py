"""Options that several verbs share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """The option that says where records and the store are."""
    default = Path(os.environ.get("SELBENCH_OUTPUTS", "outputs"))
    parser.add_argument("--outputs", type=Path, default=default, help="the output folder (default: outputs)")
