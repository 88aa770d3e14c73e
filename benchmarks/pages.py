"""Writing measured tables into the pages of the documentation."""

from __future__ import annotations

from pathlib import Path


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the comments `<!-- NAME -->` and `<!-- end of NAME -->`."""
    before, start, rest = path.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not (start and end):
        raise SystemExit(f"{path} has no place named {name}")
    path.write_text(before + start + text + end + after)
