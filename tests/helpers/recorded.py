"""Reading back what a run left behind."""

from __future__ import annotations

import json
from pathlib import Path


def records(outputs: Path) -> list[dict]:
    """All records under an output folder."""
    return [json.loads(path.read_text()) for path in sorted(outputs.glob("runs/*/record.json"))]
