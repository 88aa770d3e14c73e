"""What selectors by rating share: scores from a file, or from the scorer as a judge."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Budget, Context, FeatureSpec, ModelRef, UserError, name_and_options
from selbench.data.score_files import Scores, read_scores
from selbench.features.ratings import DigitLogits, judge_problem
from selbench.hashing import file_hash

log = logging.getLogger("selbench")


@dataclass
class Rated:
    """Options of selectors by rating.

    Options:
        scores: a file of ratings, or a list of files: JSON, JSONL, CSV or Parquet with a column `id` (or `row`, from 0), or an
            array in the pool's order (.npy). Without one, the scorer is asked as a judge.
        chat: for a judge: the rating prompt is a user's turn in its chat template, as a tuned judge expects it, and not a
            text of its own.
    """

    scores: Any = None
    chat: bool = False

    plugin_name = ""  # the decorator's; no option, for it has no type

    def __post_init__(self) -> None:
        self.uses_scorer = not self.files

    @property
    def files(self) -> list[str]:
        """The files of scores. Raises UserError for what is no file, and for one that is named twice."""
        if self.scores in (None, "", []):
            return []
        named = list(self.scores) if isinstance(self.scores, list | tuple) else [self.scores]
        for place, one in enumerate(named):
            if not isinstance(one, str) or not one:
                raise UserError(
                    f"selector.scores: {one!r} is no file; name one, or several as selector.scores=[a.jsonl,b.csv]."
                )
            if one in named[:place]:
                raise UserError(f"selector.scores names {one} more than once.")
        return named

    @property
    def columns(self) -> Sequence[str]:
        """The columns of scores that are read; an empty name for the only one that there is."""
        return ("",)

    def questions(self) -> Sequence[DigitLogits]:
        """What the judge is asked of each example."""
        raise NotImplementedError

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [] if self.files else list(self.questions())

    def identity(self) -> dict[str, Any]:
        """The options, with the content of the files in place of their names."""
        return {**dataclasses.asdict(self), "scores": [file_hash(Path(one).expanduser()) for one in self.files]}

    def label(self) -> str:
        """The name with the options that differ from their defaults; files by their names without the folder."""
        stems = "+".join(Path(one).name.partition(".")[0] for one in self.files)
        return name_and_options(self, name=f"{self.plugin_name} by {stems}" if stems else "", but=("scores",))

    def check(self) -> None:
        """Raises UserError for a file of scores that is missing or cannot be read."""
        for column in self.columns if self.files else ():
            self._read(column)

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError if an example of the pool has no score in the files."""
        for column in self.columns if self.files else ():
            self._read(column).of(budget.ids)

    def check_scorer(self, scorer: ModelRef) -> list[str]:
        """Raises UserError for a scorer that cannot be asked for a rating."""
        for question in self.questions()[:1]:
            if problem := judge_problem(question, scorer):
                raise UserError(
                    f"selector '{self.plugin_name}' asks the scorer for ratings, and {problem}. Name a judge with scorer=NAME, "
                    f"or give ratings made elsewhere with selector.{self.plugin_name}.scores=FILE."
                )
        return []

    def scores_of_file(self, ids: Sequence[str], column: str, context: Context) -> np.ndarray:
        """N scores from the files, in the order of the ids."""
        read = self._read(column)
        found = read.of(ids)
        if unused := read.unused(ids):
            context.log(unused_scores=unused)
            log.info(f"{read.said}: {unused} of its scores are of no example of the pool, and are not used.")
        return found

    def _read(self, column: str) -> Scores:
        return _read_unchanged(tuple(self.files), tuple(map(_hash_if_there, self.files)), column)


@lru_cache(maxsize=8)
def _read_unchanged(files: tuple[str, ...], hashes: tuple[str, ...], column: str) -> Scores:
    """`hashes` are not used here: as an argument they are part of the cache's key. A grid asks for every cell."""
    return read_scores(files, "selector.scores", column)


def _hash_if_there(named: str) -> str:
    path = Path(named).expanduser()
    return file_hash(path) if path.is_file() else ""


def written_scores(folder: Path, **columns: tuple[float, float]) -> dict[str, Any]:
    """For `check_options`: a file with scores for all examples of the conformance suite, in the given ranges, as an option.

    The scores follow from the ids alone. There are more than any one pool of the suite has.
    """
    ids = [f"e{i:03d}-{seed}" for seed in range(10) for i in range(100)] + [f"same{i}" for i in range(20)]
    path = folder / "scores.jsonl"
    rows = [
        {"id": id, **{name: low + (high - low) * _chance(f"{name} {id}") for name, (low, high) in columns.items()}}
        for id in ids
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return {"scores": str(path)}


def _chance(text: str) -> float:
    """A number from 0 to 1 that follows from a text."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
