"""Words of a text with case, punctuation and layout taken off, and which of many short runs of words stand in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

STOP = "."  # what `sentences` puts between sentences

# A word; a sign that changes a sum; one character of a script that is written without spaces; or the end of a sentence.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+|[+*/=<>%^×÷√]|-(?=\s*\d)|[.!?:;。\n]")
_ENDS = frozenset(".!?:;。\n")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing
_TABLE_BITS = 24


def sentences(text: str) -> list[str]:
    """Case-folded words and signs of arithmetic in order, with one STOP before, between and after sentences."""
    found = [STOP]
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if word not in _ENDS:
            found.append(word)
        elif found[-1] != STOP:
            found.append(STOP)
    return found if found[-1] == STOP else [*found, STOP]


def words(said: Sequence[str]) -> list[str]:
    """`sentences` without the stops."""
    return [word for word in said if word != STOP]


class Runs:
    """Runs of words to look for, of any lengths, each with a number (several runs may share one).

    Runs are compared by a 64-bit hash: among a million runs and a hundred million places one false find is to be
    expected in 180,000 searches.
    """

    def __init__(self, runs: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
        self._ids: dict[str, int] = {}
        for run in runs:
            for word in run:
                self._ids.setdefault(word, len(self._ids) + 1)
        lengths = np.asarray([len(run) for run in runs], np.int64)
        owners = np.asarray(numbers, np.int64)
        self._by_length: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length).tolist()
            known = np.asarray([[self._ids[word] for word in runs[row]] for row in rows], np.int64)
            hashes = _window_hashes(_spread_over_64_bits(known.ravel()), length)[::length]
            order = np.argsort(hashes, kind="stable")
            self._by_length[length] = hashes[order], owners[rows][order]

    def find(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """K x 2 distinct pairs (position of the text, number of a run that stands in it), sorted."""
        ids, places = self._word_numbers(texts)
        mixed = _spread_over_64_bits(ids)
        found = [np.empty((0, 2), np.int64)]
        for length, (hashes, owners) in self._by_length.items():
            if len(ids) < length:
                continue
            unknown = np.concatenate([[0], np.cumsum(ids == 0)])
            starts = np.flatnonzero(unknown[length:] == unknown[:-length])  # every word of the window is in some run
            found.append(_matching_pairs(_window_hashes(mixed, length)[starts], places[starts], hashes, owners))
        return np.unique(np.concatenate(found), axis=0)

    def _word_numbers(self, texts: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """All words as numbers, 0 for one that is in no run and between texts, and the text that each is of."""
        known = self._ids
        ids: list[int] = []
        for text in texts:
            ids += [known.get(word, 0) for word in text]
            ids.append(0)
        places = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        return np.asarray(ids, np.int64), places


def _spread_over_64_bits(ids: np.ndarray) -> np.ndarray:
    """Numbers spread over 64 bits (splitmix64's finaliser)."""
    x = ids.astype(np.uint64) * _BASE
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _window_hashes(mixed: np.ndarray, length: int) -> np.ndarray:
    """The hash of every window of `length` words."""
    count = len(mixed) - length + 1
    hashes = mixed[:count].copy()
    for offset in range(1, length):
        hashes = hashes * _BASE + mixed[offset : offset + count]
    return _spread_over_64_bits(hashes)


def _matching_pairs(windows: np.ndarray, places: np.ndarray, hashes: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(place, owner) of every window that is among `hashes` (sorted, may repeat with other owners)."""
    table = np.zeros(1 << _TABLE_BITS, bool)  # most windows are in no run, and this says so in one look
    table[hashes >> np.uint64(64 - _TABLE_BITS)] = True
    likely = np.flatnonzero(table[windows >> np.uint64(64 - _TABLE_BITS)])
    windows, places = windows[likely], places[likely]
    first = np.searchsorted(hashes, windows, "left")
    many = np.searchsorted(hashes, windows, "right") - first
    within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    return np.column_stack([np.repeat(places, many), owners[np.repeat(first, many) + within]])
