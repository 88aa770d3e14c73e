"""Duplicates among examples: the one definition of `exact` and of `near`, and the search for both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from selbench.api import Example
from selbench.data.ngrams import sentences, spread_over_64_bits, window_hashes, words

DuplicateKind = Literal["exact", "near"]

RUN = 5  # words of a run
NEAR = 4, 5  # two texts are near each other from a Jaccard similarity of 4 / 5
PROMPT, RESPONSE = 0, 1


def find_duplicates(examples: Sequence[Example], kind: DuplicateKind) -> dict[str, str]:
    """Id of each example that repeats an earlier one -> id of that one, which repeats none itself.

    `exact`: system text, earlier turns, instruction, input and response are equal, character for character.
    `near`: the prompts (system text, earlier turns, instruction and input together) are near each other, and so are the
    responses. Two texts are near if the sets of their runs of RUN normalised words (data.ngrams) have a Jaccard
    similarity of at least NEAR. A text of fewer words is one run; a text without words is near its equals. Exact
    duplicates are near duplicates.

    The result depends only on the examples and their order. Pairs are found by prefixes of their sets (Bayardo et al.
    2007, "Scaling up all pairs similarity search"), which overlooks none.
    """
    return _exact_duplicates(examples) if kind == "exact" else _near_duplicates(examples)


def _exact_duplicates(examples: Sequence[Example]) -> dict[str, str]:
    first: dict[str, str] = {}
    kept = [(example.id, first.setdefault(example.content_hash, example.id)) for example in examples]
    return {id: original for id, original in kept if id != original}


def _near_duplicates(examples: Sequence[Example]) -> dict[str, str]:
    sets = _run_sets(examples)
    kept_with_sets: dict[tuple[bytes, bytes], int] = {}
    kept_with_run: tuple[dict[int, list[int]], ...] = ({}, {})  # of prompts, of responses
    found = {}
    for place in range(len(examples)):
        own = sets.runs(place, PROMPT).tobytes(), sets.runs(place, RESPONSE).tobytes()
        original = kept_with_sets.get(own)
        if original is None:
            prefixes = [sets.shared_prefix(place, part) for part in (PROMPT, RESPONSE)]
            original = sets.first_near(place, _candidates(prefixes, kept_with_run))
            if original is None:
                for prefix, with_run in zip(prefixes, kept_with_run):
                    for run in prefix:
                        with_run.setdefault(run, []).append(place)
            # An example with equal sets is near the same examples: it repeats the same one.
            kept_with_sets[own] = place if original is None else original
        if original is not None:
            found[examples[place].id] = examples[original].id
    return found


def _candidates(prefixes: Sequence[list[int]], kept_with_run: Sequence[dict[int, list[int]]]) -> set[int]:
    """The examples that may be near one with these prefixes, by its prompt or by its response: whichever gives fewer."""
    lists = [[with_run.get(run, []) for run in prefix] for prefix, with_run in zip(prefixes, kept_with_run)]
    return set().union(*min(lists, key=lambda found: sum(map(len, found))))


@dataclass(frozen=True, eq=False)
class _RunSets:
    """The runs of the prompts and responses of N examples, as numbers; the rarer a run, the lower its number.

    Example i has the texts 2i, its prompt, and 2i + 1, its response.
    """

    numbers: np.ndarray  # of one text after the other, ascending in each
    starts: np.ndarray  # 2N + 1 integers: where those of each text begin
    often: np.ndarray  # for each number, how many texts have it

    def runs(self, place: int, part: int) -> np.ndarray:
        """The numbers of one text: that of an example's prompt or response."""
        found: np.ndarray = self.numbers[self.starts[2 * place + part] : self.starts[2 * place + part + 1]]
        return found

    def shared_prefix(self, place: int, part: int) -> list[int]:
        """The rarest runs of a text that other texts have too: two texts that are near have one of these in common."""
        runs, (over, under) = self.runs(place, part), NEAR
        prefix = runs[: len(runs) - -(-over * len(runs) // under) + 1]
        return [int(run) for run in prefix[self.often[prefix] > 1]]

    def first_near(self, place: int, others: set[int]) -> int | None:
        """The first of the other examples of which both prompt and response are near those of this one; None if none is."""
        near = (other for other in sorted(others) if all(self._are_near(place, other, p) for p in (RESPONSE, PROMPT)))
        return next(near, None)

    def _are_near(self, one: int, other: int, part: int) -> bool:
        (over, under), a, b = NEAR, self.runs(one, part), self.runs(other, part)
        if over * max(len(a), len(b)) > under * min(len(a), len(b)):
            return False
        shared = len(np.intersect1d(a, b, assume_unique=True))
        return under * shared >= over * (len(a) + len(b) - shared)


def _run_sets(examples: Sequence[Example]) -> _RunSets:
    known: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    short: dict[int, int] = {}  # a text that is too short for a run of words -> its hash
    for place, example in enumerate(examples):
        turns = [text for turn in example.history for text in turn]
        prompt = [example.system, *turns, example.instruction, example.input]
        for part, texts in ((PROMPT, prompt), (RESPONSE, [example.response])):
            said = [word for text in texts for word in words(sentences(text))]
            lengths.append(len(said))
            if len(said) < RUN:
                short[2 * place + part] = _text_hash(said or texts)
            ids += [known.setdefault(word, len(known) + 1) for word in said]
    owners, hashes = _windows(np.asarray(ids, np.int64), np.asarray(lengths, np.int64))
    owners = np.concatenate([owners, np.asarray([*short.keys()], np.int64)])
    hashes = np.concatenate([hashes, np.asarray([*short.values()], np.uint64)])
    return _numbered(owners, hashes, len(lengths))


def _text_hash(parts: Sequence[str]) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _windows(ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each run of RUN words within one text, the position of the text and the hash of the run."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    if len(ids) < RUN:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    whole = owners[RUN - 1 :] == owners[: len(owners) - RUN + 1]
    return owners[: len(whole)][whole], window_hashes(spread_over_64_bits(ids), RUN)[whole]


def _numbered(owners: np.ndarray, hashes: np.ndarray, texts: int) -> _RunSets:
    """The sets of runs of the texts, from the owner and hash of every run."""
    unique, numbers = np.unique(hashes, return_inverse=True)
    pairs = np.unique(owners * len(unique) + numbers)  # a run that a text has twice counts once
    owners, numbers = pairs // len(unique), pairs % len(unique)
    often = np.bincount(numbers, minlength=len(unique))
    rare_first = np.argsort(often, kind="stable")
    rank = np.empty(len(unique), np.int64)
    rank[rare_first] = np.arange(len(unique))
    order = np.lexsort([rank[numbers], owners])
    return _RunSets(rank[numbers][order], np.searchsorted(owners[order], np.arange(texts + 1)), often[rare_first])
