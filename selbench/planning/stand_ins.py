"""Stand-ins for pools and targets that are not at hand, so that a plan can rest on the sizes that their presets state."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from selbench.api import Example, LoadedPool, Pool
from selbench.errors import NotAtHand, UserError
from selbench.run.filters import asks_for_leaks
from selbench.run.hub_commits import HubNotes, why_unknown
from selbench.run.inputs import load_examples
from selbench.settings import Run
from selbench.stated import StatedSize
from selbench.store.keys import plugin_identity


class StatedPool(Pool):
    """A pool of which only the size is known: each row has the stated mean length, and a text that nobody may read."""

    examples_known: ClassVar[bool] = False

    def __init__(self, source: StatedSource) -> None:
        super().__init__([Example("0", "?", "?")], source.name)
        # One example stands for all rows, of which there may be millions: their ids alone differ, and are asked for.
        self.examples *= source.rows
        self.source = source

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(map(str, range(len(self))))

    def position(self, id: str) -> int:
        return int(id)

    @cached_property
    def fingerprint(self) -> str:
        """Of what is stated: it is the key of no stage in any store."""
        return hashlib.sha256(repr(("stated", self.source)).encode()).hexdigest()


@dataclass
class StatedSource:
    """A source of a `StatedPool`, in the place of a plugin of kind pool; none of its filters is in force."""

    name: str
    hub: str
    rows: int
    prompt_tokens: float  # means over the rows, without any template
    response_tokens: float
    figures: str = ""  # where they come from, for people
    why: str = ""  # why the pool is not at hand, as a clause without an end
    plugin_kind: ClassVar[str] = "pool"
    plugin_name: ClassVar[str] = "stated"
    leaks: ClassVar[str] = "report"

    def load(self) -> LoadedPool:
        return LoadedPool(StatedPool(self))

    @property
    def sentence(self) -> str:
        """`alpaca (52,002 rows, on average 18 tokens of prompt and 58 of response; from the data card)`."""
        tokens = f"on average {self.prompt_tokens:.0f} tokens of prompt and {self.response_tokens:.0f} of response"
        return f"{self.name} ({self.rows:,} rows, {tokens}{f'; {self.figures}' if self.figures else ''})"


class StandIns:
    """Puts stand-ins into the runs of one grid; each pool is tried once."""

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}  # sentences on what is not known without the pools
        self._known: dict[str, Any] = {}

    def into(self, run: Run) -> Run:
        """The run, with stand-ins for the pool and targets that are not at hand.

        Where the items of its suites are not at hand, leaks are only reported, whatever is set. Raises UserError for a
        pool that cannot be read, or of which nothing is stated.
        """
        if asks_for_leaks(run) and not suites_at_hand(run):
            self._note("what the filters of leaks leave out is not known, because the items of suites are not at hand.")
            targets = {name: _with_leaks_reported(target) for name, target in run.targets.items()}
            run = dataclasses.replace(run, leaks="report", pool=_with_leaks_reported(run.pool), targets=targets)
        targets = {
            name: self._at_hand_or_stated(target, f"target.{name}") if run.selector.targeted else target
            for name, target in run.targets.items()
        }
        return dataclasses.replace(run, pool=self._at_hand_or_stated(run.pool, "pool"), targets=targets)

    def _at_hand_or_stated(self, source: Any, place: str) -> Any:
        """The source itself if its pool can be read, else its stand-in."""
        key = repr((place, type(source), source))
        if key not in self._known:
            try:
                load_examples(source, place)
                self._known[key] = source
            except NotAtHand as missing:
                self._known[key] = self._stand_in(source, place, missing)
        return self._known[key]

    def _stand_in(self, source: Any, place: str, missing: NotAtHand) -> StatedSource:
        stated = getattr(source, "stated", None)
        if not isinstance(stated, StatedSize) or not stated.holds_for(source.hub):
            raise UserError(
                f"{missing} To plan without it, state its size: {place}.stated.rows=N {place}.stated.prompt_tokens=MEAN "
                f"{place}.stated.response_tokens=MEAN."
            ) from missing
        if getattr(source, "drop_duplicates", "no") != "no":
            self._note(f"what {place}.drop_duplicates leaves out of '{source.name}' is not known before it is at hand.")
        return StatedSource(
            name=source.name,
            hub=source.hub,
            rows=min(stated.rows, source.limit or stated.rows),
            prompt_tokens=stated.prompt_tokens,
            response_tokens=stated.response_tokens,
            figures=stated.source,
            why=why_unknown("dataset", source.hub, source.revision),
        )

    def _note(self, sentence: str) -> None:
        self.notes[sentence] = None


def searchable(run: Run) -> Run:
    """The run with those targets and suites alone that are at hand, so that the ones can be searched for items of the others."""
    targets = {name: target for name, target in run.targets.items() if not isinstance(target, StatedSource)}
    suites = {name: suite for name, suite in run.suites.items() if targets and _is_at_hand(name, suite)}
    return dataclasses.replace(run, targets=targets, suites=suites)


def suites_at_hand(run: Run) -> bool:
    """Whether the commits of all data sets that the run's suites take from the hub are known."""
    return all(_is_at_hand(name, suite) for name, suite in run.suites.items())


def _is_at_hand(name: str, suite: Any) -> bool:
    notes = HubNotes()
    notes.of(f"suite.{name}", lambda: plugin_identity(suite))
    return all(one.commit for one in notes.commits)


def _with_leaks_reported(source: Any) -> Any:
    return dataclasses.replace(source, leaks="report") if getattr(source, "leaks", None) else source
