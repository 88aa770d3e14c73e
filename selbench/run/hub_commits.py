"""What each part of a run takes from the Hugging Face hub: noted while the run's key is made, so that it is what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from selbench.data.commits import Repository, noted, settled
from selbench.errors import UserError
from selbench.store.facts import HubCommit

T = TypeVar("T")

# What to set instead, so that a part needs no hub. A pool or a target is in the key by its examples.
INSTEAD = {
    "model": "point at a local copy with model.path=/path/to/folder",
    "scorer": "point at a local copy with scorer.path=/path/to/folder",
    "selector": "point its option at a local folder (for an encoder: selector.encoder=/path/to/folder)",
    "trainer": "point its option at a local folder",
    "suite": "write a task file that reads local files, and name its folder in include_path",
}


class HubNotes:
    """The repositories of the hub that the parts of one run ask for."""

    def __init__(self) -> None:
        self.commits: list[HubCommit] = []

    def of(self, part: str, made: Callable[[], T]) -> T:
        """What `made` gives; the repositories whose commits it asks for are the part's."""
        with noted() as found:
            given = made()
        self.commits += [
            HubCommit(part, which.kind, which.name, which.revision, one.commit) for which, one in found.items()
        ]
        return given


def unknown_commits(commits: Iterable[HubCommit]) -> list[str]:
    """A sentence for each thing that a key depends on and whose commit is not known."""
    said = []
    for one in commits:
        if is_needed(one):
            problem = settled(Repository(one.kind, one.name, one.revision)).problem
            said.append(
                f"{one.part}: {problem}; {INSTEAD[one.part.partition('.')[0]]}, or run once where the hub can be reached "
                "(or set HF_ENDPOINT)."
            )
    return list(dict.fromkeys(said))


def is_needed(one: HubCommit) -> bool:
    """Whether a key depends on this commit and it is not known."""
    return one.part.partition(".")[0] in INSTEAD and not one.commit


def why_unknown(kind: Literal["model", "dataset"], name: str, revision: str | None) -> str:
    """Why the commit of a repository is not known, as a clause without an end; empty if it is."""
    found = settled(Repository(kind, name, revision))
    return "" if found.commit else found.reason


def require_commits(commits: Iterable[HubCommit]) -> None:
    """Raises UserError if a commit is not known: a run whose key does not hold what it is made of is not carried out."""
    if said := unknown_commits(commits):
        raise UserError("\n".join(said))
