"""A launcher that carries out its jobs one after the other in the test's process, and is none that selbench knows."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins

NAME = "hydra_plugins.of_this_test.InlineLauncher"  # Hydra takes launchers of this package only


class InlineLauncher(BasicLauncher):
    """As Hydra's own, with an option, which it notes with the numbers of its jobs."""

    launched: list[tuple[int, int]] = []  # noqa: RUF012 (option and number of jobs of each launch)

    def __init__(self, minutes: int = 1) -> None:
        super().__init__()
        self.minutes = minutes

    def launch(self, job_overrides, initial_job_idx):
        self.launched.append((self.minutes, len(job_overrides)))
        return super().launch(job_overrides, initial_job_idx)


def inline(folder: Path) -> list[str]:
    """Settings with which a grid goes out through this launcher, in two waves and without processes of its own."""
    InlineLauncher.launched.clear()
    Plugins.instance().class_name_to_class[NAME] = InlineLauncher
    place = folder / "presets" / "hydra" / "launcher"
    place.mkdir(parents=True, exist_ok=True)
    (place / "inline.yaml").write_text(f"_target_: {NAME}\nminutes: 1\n")
    return ["--config-dir", str(folder / "presets"), "hydra/launcher=inline", "isolate=false"]
