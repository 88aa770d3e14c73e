"""How long the stage that is being computed has been at it, without the stages that it asks for and waits for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class _Open:
    kind: str
    spent: float = 0.0  # seconds up to the last pause
    since: float | None = None  # when it was begun or went on; None while it waits
    begun: bool = False


@dataclass
class StageClock:
    """Follows the events that the store tells (see store/stages.py)."""

    stages: list[_Open] = field(default_factory=list)  # those that are not left yet, the innermost last

    def note(self, event: str, kind: str, now: float) -> None:
        """Take note of an event at a time in seconds."""
        if event == "asked":
            if self.stages and self.stages[-1].since is not None:
                outer = self.stages[-1]
                outer.spent, outer.since = outer.spent + now - self.stages[-1].since, None
            self.stages.append(_Open(kind))
        elif event == "begun" and self.stages:
            self.stages[-1].since, self.stages[-1].begun = now, True
        elif event == "left" and self.stages:
            self.stages.pop()
            if self.stages and self.stages[-1].begun:
                self.stages[-1].since = now

    def computing(self, now: float) -> tuple[str, float]:
        """The kind of the stage being computed, and its seconds so far; ("", 0.0) if none is."""
        if not self.stages or self.stages[-1].since is None:
            return "", 0.0
        return self.stages[-1].kind, self.stages[-1].spent + now - self.stages[-1].since
