"""Reads the records that runs have written."""

from __future__ import annotations

import json
from pathlib import Path


def records(outputs: Path) -> list[dict]:
    """All records under an output folder, as plain data, sorted by the path of their folders."""
    return [json.loads(path.read_text()) for path in sorted(outputs.glob("runs/*/record.json"))]
