"""All panels of `selbench inspect`, written to a folder: a figure or page each, and the data behind it as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from selbench.files import written_aside
from selbench.inspection.choice_panels import composition, coverage, lengths, scores
from selbench.inspection.neighbour_panel import neighbours
from selbench.inspection.tag_panels import neurons, shared_tags, tag_frequency, tag_pca
from selbench.inspection.target_panel import targets
from selbench.inspection.view import LeftOut, Panel, View
from selbench.store.stages import writing

# Name -> function that draws the panel of a view; its files have the name too.
PANELS: Mapping[str, Callable[[View], Panel]] = {
    panel.__name__: panel
    for panel in (
        neurons,
        tag_frequency,
        shared_tags,
        tag_pca,
        coverage,
        scores,
        lengths,
        neighbours,
        composition,
        targets,
    )
}


def write_panels(view: View, folder: Path) -> tuple[list[tuple[list[str], str]], dict[str, str]]:
    """Draw all panels into `folder`; gives the written ones (file names and a line about them) and name -> why left out.

    Files of an earlier inspection in the same folder are replaced; those of panels that do not apply now are removed.
    Raises UserError if a file cannot be written.
    """
    written: list[tuple[list[str], str]] = []
    left_out: dict[str, str] = {}
    with writing(folder):
        for name, draw in PANELS.items():
            for ending in ("png", "md", "csv"):
                (folder / f"{name}.{ending}").unlink(missing_ok=True)
            try:
                panel = draw(view)
            except LeftOut as reason:
                left_out[name] = str(reason)
            else:
                written.append((_write_files(panel, folder, name), panel.about))
    return written, left_out


def _write_files(panel: Panel, folder: Path, name: str) -> list[str]:
    files = [f"{name}.csv"]
    with written_aside(folder / files[0]) as aside:
        panel.table.to_csv(aside, index=False)
    if panel.page:
        files.insert(0, f"{name}.md")
        with written_aside(folder / files[0]) as aside:
            aside.write_text(panel.page, encoding="utf-8")
    if panel.figure is not None:
        files.insert(0, f"{name}.png")
        with written_aside(folder / files[0]) as aside:
            panel.figure.savefig(aside)
    return files
