"""Normalises texts to words, and finds which of many short runs of words occur in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

STOP = "."  # stands between sentences in the result of `sentences`

# Matches one character of a script written without spaces, a word, a sign of arithmetic, or the end of a sentence.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+|[+*/=<>%^×÷√]|-(?=\s*\d)|[.!?:;。\n]")
_ENDS = frozenset(".!?:;。\n")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication modulo 2^64 is invertible
_TABLE_BITS = 24  # a table of 2^24 bytes, 16 MB


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
    """The words of a result of `sentences`, without the stops."""
    return [word for word in said if word != STOP]


class Runs:
    """An index of runs of words of any lengths, each with a number (several runs may share one).

    Runs are compared by 64-bit hashes: searching a hundred million places for a million runs gives on average one false
    match in 180,000 searches.
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
            hashes = window_hashes(spread_over_64_bits(known.ravel()), length)[::length]
            order = np.argsort(hashes, kind="stable")
            self._by_length[length] = hashes[order], owners[rows][order]

    def find(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """K x 2 integers: the distinct pairs (position of a text, number of a run that occurs in it), sorted."""
        ids, places = self._word_numbers(texts)
        mixed = spread_over_64_bits(ids)
        found = [np.empty((0, 2), np.int64)]
        for length, (hashes, owners) in self._by_length.items():
            if len(ids) < length:
                continue
            unknown = np.concatenate([[0], np.cumsum(ids == 0)])
            # Only windows whose words all belong to some run can match; they are the ones without an unknown word.
            starts = np.flatnonzero(unknown[length:] == unknown[:-length])
            found.append(_matching_pairs(window_hashes(mixed, length)[starts], places[starts], hashes, owners))
        return np.unique(np.concatenate(found), axis=0)

    def _word_numbers(self, texts: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """All words of all texts as numbers, and the position of the text each belongs to.

        A word that is in no run is 0, and so is a separator after every text: no match crosses two texts.
        """
        known = self._ids
        ids: list[int] = []
        for text in texts:
            ids += [known.get(word, 0) for word in text]
            ids.append(0)
        places = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        return np.asarray(ids, np.int64), places


def spread_over_64_bits(ids: np.ndarray) -> np.ndarray:
    """Hashes of the numbers that use all 64 bits: the finaliser of splitmix64."""
    x = ids.astype(np.uint64) * _BASE
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def window_hashes(mixed: np.ndarray, length: int) -> np.ndarray:
    """The hash of every window of `length` words, a polynomial in _BASE; `mixed` are the hashes of the words."""
    count = len(mixed) - length + 1
    hashes = mixed[:count].copy()
    for offset in range(1, length):
        hashes = hashes * _BASE + mixed[offset : offset + count]
    return spread_over_64_bits(hashes)


def _matching_pairs(windows: np.ndarray, places: np.ndarray, hashes: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """K x 2 pairs (place, owner) of the windows whose hash is in `hashes` (sorted; one hash may have several owners)."""
    # Most windows are in no run. A table over the first bits of the hashes excludes them faster than a binary search.
    table = np.zeros(1 << _TABLE_BITS, bool)
    table[hashes >> np.uint64(64 - _TABLE_BITS)] = True
    likely = np.flatnonzero(table[windows >> np.uint64(64 - _TABLE_BITS)])
    windows, places = windows[likely], places[likely]
    first = np.searchsorted(hashes, windows, "left")
    many = np.searchsorted(hashes, windows, "right") - first
    within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    return np.column_stack([np.repeat(places, many), owners[np.repeat(first, many) + within]])
