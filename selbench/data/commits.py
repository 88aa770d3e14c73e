"""The commits that repositories of the Hugging Face hub are taken at.

What a branch or a tag stands for is asked once in a process, and told to the processes that carry out its grid, so that
keys, records and what is loaded are of one commit, whatever is pushed meanwhile.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selbench.data import hub
from selbench.errors import UserError

log = logging.getLogger("selbench.data")

Kind = Literal["model", "dataset"]
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Repository:
    """A repository of the hub at a revision."""

    kind: Kind
    name: str  # owner/name
    revision: str | None = None  # a branch, tag or commit; None: the main branch

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


@dataclass(frozen=True)
class Settled:
    """The commit that a repository is taken at; None where it cannot be found out, with the `reason`."""

    repository: Repository
    commit: str | None
    reason: str = ""
    asked: bool = False  # whether the hub itself said so, in this process

    @property
    def problem(self) -> str:
        """Why the commit is unknown, as a clause without an end; empty if it is known."""
        from huggingface_hub import constants

        if self.commit:
            return ""
        which, at = self.repository, self.repository.revision or "main"
        return (
            f"the commit of '{which.name}' ({which.kind}, revision {at}) is not known: {self.reason}, and the local cache "
            f"({constants.HF_HUB_CACHE}) holds none"
        )


_settled: dict[Repository, Settled] = {}
_notes: list[dict[Repository, Settled]] = []  # of the blocks `noted()` that are open


def commit_of(kind: Kind, name: str, revision: str | None = None) -> str | None:
    """The commit of a repository at a branch, tag or commit: what this process has settled, else what the hub says now.

    Where the hub does not answer (or HF_HUB_OFFLINE is set) it is the commit that the local cache has under that name; None
    where it has none.
    """
    found = settled(Repository(kind, name, revision))
    note([found])
    return found.commit


def settled(repository: Repository) -> Settled:
    """The same with the reason where it is unknown, and without a note of it for `noted`."""
    if repository not in _settled:
        _settled[repository] = _resolved(repository)
    return _settled[repository]


def name_at_hub(kind: Kind, *names: str) -> str:
    """The first of these names that is one of a repository whose commit is known; the first of all if none is."""
    return next((name for name in names if settled(Repository(kind, name)).commit), names[0])


@contextmanager
def noted() -> Iterator[dict[Repository, Settled]]:
    """Collects every repository whose commit is asked for inside: what a key, or an object, depends on."""
    found: dict[Repository, Settled] = {}
    _notes.append(found)
    try:
        yield found
    finally:
        _notes[:] = [other for other in _notes if other is not found]


def note(found: Iterable[Settled]) -> None:
    """Make the blocks `noted()` that are open know of these, as if they were asked for now."""
    for one in found:
        for block in _notes:
            block[one.repository] = one


def settle(rows: Iterable[Mapping[str, Any]]) -> None:
    """Take repositories at these commits from now on, in this process: those of a grid, or of a record.

    Args:
        rows: mappings of kind, name, revision and commit, as `settled_rows` gives them; those without a commit are left out.
    """
    for row in rows:
        if row.get("commit"):
            repository = Repository(row["kind"], row["name"], row.get("revision"))
            _settled[repository] = Settled(repository, row["commit"])


def settled_rows() -> list[dict[str, str | None]]:
    """Every repository that this process knows the commit of, as plain data."""
    return [
        {"kind": which.kind, "name": which.name, "revision": which.revision, "commit": found.commit}
        for which, found in _settled.items()
        if found.commit
    ]


def forget_commits() -> None:
    """Ask the hub anew when a commit is next asked for."""
    _settled.clear()
    hub.forget_silence()


@contextmanager
def at_commit(kind: Kind, name: str, revision: str | None = None) -> Iterator[str | None]:
    """Yields the revision to load a repository at: its commit, or where that is unknown the `revision` as it is given.

    Inside, the hub's libraries look only into their caches if the hub does not answer. After it, the local cache knows
    the commit under the revision's name, so that it is found without the hub.
    """
    commit = commit_of(kind, name, revision)
    with hub.cache_only_if_unreachable():
        yield commit or revision
    _keep_in_cache(settled(Repository(kind, name, revision)))


def load_dataset_at_commit(
    load: Callable[..., Any], repository: str, /, *parts: Any, revision: str | None = None, **options: Any
) -> Any:
    """What `datasets.load_dataset` (`load`) gives of a data set of the hub, at its commit.

    Raises UserError if only another commit of it is to be had, as from a cache; and whatever `load` raises.
    """
    with at_commit("dataset", repository, revision) as commit:
        if not hub.reachable():
            _make_last_made(repository, commit)
        found = load(repository, *parts, revision=commit, **options)
    of = _commits_of_data(found)
    if commit and of and commit not in of:
        raise UserError(
            f"'{repository}' is to be read at its commit {commit}, but the local cache holds it at {', '.join(sorted(of))}: "
            "run once where the hub can be reached."
        )
    return found


def _commits_of_data(found: Any) -> set[str]:
    """The commits in the paths of the files that a Dataset, or a DatasetDict, is read from: where `datasets` puts them."""
    parts = found.values() if isinstance(found, Mapping) else [found]
    files = [file["filename"] for part in parts for file in getattr(part, "cache_files", None) or ()]
    return {folder for file in files for folder in Path(file).parts if COMMIT.fullmatch(folder)}


def _resolved(repository: Repository) -> Settled:
    from huggingface_hub import constants

    if repository.revision and COMMIT.fullmatch(repository.revision):
        return Settled(repository, repository.revision)
    commit, reason = _commit_at_hub(repository)
    if commit:
        return Settled(repository, commit, asked=True)
    if cached := _commit_in_cache(repository):
        log.log(
            logging.INFO if constants.is_offline_mode() else logging.WARNING,  # it is no news to who has set it
            "%s '%s' is taken from the local cache, at commit %s: %s",
            repository.kind,
            repository,
            cached,
            reason,
        )
    return Settled(repository, cached, reason)


def _commit_at_hub(repository: Repository) -> tuple[str | None, str]:
    """The commit, or None and the reason."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if not hub.reachable():
        return None, hub.unreachable_text()
    where = f"the hub ({constants.ENDPOINT})"
    try:
        about = HfApi().repo_info(
            repository.name, repo_type=repository.kind, revision=repository.revision, timeout=hub.SECONDS_TO_ANSWER
        )
    except RevisionNotFoundError:
        return None, f"it has no revision '{repository.revision}' at {where}"
    except RepositoryNotFoundError:
        return None, f"{where} has no such {repository.kind}, or it is private (log in with `hf auth login`)"
    except Exception as error:  # of a network, a server or a name: none is a reason to stop here
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return None, f"{where} says: {lines[0].rstrip('.:')}"
    return about.sha, f"{where} names no commit"


def _commit_in_cache(repository: Repository) -> str | None:
    """What the local cache has under the revision's name; of a data set's main branch else what `datasets` made last."""
    if found := cached_commit(repository):
        return found
    return None if repository.kind == "model" or repository.revision else _commit_made_last(repository.name)


def _commit_made_last(name: str) -> str | None:
    """The commit of a data set that the cache of `datasets` was last written for, which is what it would load itself."""
    made = _made_datasets(name)
    return max(made, key=lambda path: path.stat().st_mtime).name if made else None


def _make_last_made(name: str, commit: str | None) -> None:
    """Have `datasets` load this commit from its cache: without the hub it takes the one that was written last."""
    for folder in _made_datasets(name):
        if folder.name == commit:
            with suppress(OSError):  # a cache of another's: the commit of what is loaded is checked
                os.utime(folder)


def _made_datasets(name: str) -> list[Path]:
    """The folders in the cache of `datasets` that hold a data set, one for each configuration and commit."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    owner, _, last = name.rpartition("/")
    folder = "___".join(filter(None, (owner, camelcase_to_snakecase(last))))
    made = Path(os.path.expanduser(config.HF_DATASETS_CACHE)).glob(f"{folder}/*/*/*")
    return [path for path in made if path.is_dir() and COMMIT.fullmatch(path.name)]


def cached_commit(repository: Repository) -> str | None:
    """The commit that the local cache of the hub's library has under the revision's name; None if it has none."""
    try:
        return _ref_file(repository).read_text().strip() or None
    except (OSError, ValueError):
        return None


def _ref_file(repository: Repository) -> Path:
    """Where the hub's library keeps the commit of a revision."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repository.name, repo_type=repository.kind)
    return Path(constants.HF_HUB_CACHE) / folder / "refs" / (repository.revision or "main")


def cached_folder(found: Settled) -> Path:
    """Where the hub's library keeps the files of a repository at its commit, if it has any."""
    return _ref_file(dataclasses.replace(found.repository, revision=None)).parents[1] / "snapshots" / str(found.commit)


def _keep_in_cache(found: Settled) -> None:
    """Note the commit under the revision's name, which the hub's library does only for what is asked for by that name."""
    file = _ref_file(found.repository)
    by_commit = found.commit == found.repository.revision
    if found.commit is None or by_commit or not (file.parents[1] / "snapshots" / found.commit).is_dir():
        return
    with suppress(OSError):  # a cache that cannot be written is as good as it was
        if found.asked or not file.is_file():  # a commit from a record is no news of the branch
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(found.commit)
