"""Notes and warnings of a board, in sentences: how its verdicts were reached, and what may mislead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from selbench.numbers import count_text, digits_text, number_text, percent_text
from selbench.report.tidy import BASELINE
from selbench.statistics.multiplicity import ABOUT
from selbench.store.records import Record, device

if TYPE_CHECKING:
    from selbench.report.arms import Arms
    from selbench.report.board import ArmRow, Table
    from selbench.report.pairs import Tested

# A warning is due if the response tokens that two arms of a table were trained on differ by more than this share.
TOKENS = 0.10

# Libraries on which no score depends.
HARMLESS = ("mlflow",)

# What a report says of each test.
TESTS = {
    "moderated": "moderated t test on differences paired by seed; the seed variance of a pair is drawn towards what "
    "the other cells of the board say (Smyth 2004)",
    "paired": "t test on differences paired by seed",
    "welch": "Welch's t test, arms taken as independent samples",
}


def board_notes(arms: Arms, found: Tested, test: str, correction: str, confidence: float) -> tuple[str, ...]:
    """Sentences on the test, the correction, the population that verdicts are about, and what is known of the noise."""
    said = [
        f"Test: {TESTS[test]}. A verdict needs an adjusted p below {digits_text(1 - confidence, 3)}.",
        f"Correction: {ABOUT[correction]}. Intervals hold at {percent_text(confidence)} for each difference by itself.",
        _population_sentence(found),
    ]
    unknown = ~np.isfinite(found.se_seed)
    single = (found.seeds < 2) & np.isfinite(found.mean)
    if (single & ~unknown).any():
        said.append(
            f"{count_text(int((single & ~unknown).sum()))} differences rest on one seed: their seed noise is borrowed from cells "
            "of the board that have several."
        )
    if unknown.any():
        said.append(
            f"{count_text(int(unknown.sum()))} differences have unknown seed noise (one seed, or equal scores "
            "throughout): no verdict."
        )
    if test == "moderated" and (known := found.borrowed_df[~unknown & (found.borrowed_df > 0)]).size:
        worth = number_text(float(np.median(known)), 1)
        said.append(f"The borrowed seed variance is worth {worth} degrees of freedom (median of pairs).")
    if arms.reference.any():
        said.append("base and full have another budget than the arms beside them: compared with them, but not ranked.")
    return tuple(said)


def _population_sentence(found: Tested) -> str:
    known = np.isfinite(found.se_item)
    if known.all():
        return "Verdicts are about other seeds and other items of the same tasks."
    without = "about other seeds on the same items: what other items would change is not in them."
    if not known.any():
        return f"Verdicts are {without}"
    return (
        f"{count_text(int(known.sum()))} of {count_text(len(known))} differences have item-level results: verdicts on "
        f"them are about other seeds and other items of the same tasks, on the others {without}"
    )


def board_warnings(tables: Sequence[Table], baseline: str) -> tuple[str, ...]:
    """Sentences on a missing baseline, a missing random arm, and tables whose arms differ in response tokens."""
    selectors = {row.selector for table in tables for row in table.rows}
    found = []
    if baseline not in selectors:
        found.append(f"no arm `{baseline}` to compare with.")
    if BASELINE not in {name.lower() for name in selectors}:
        found.append(
            "no arm `random`: without it nobody can tell whether a method selects at all. Add selector=random."
        )
    uneven = [line for table in tables if (line := _uneven_tokens_warning(table))]
    idle = sorted({row.arm for table in tables for row in table.rows if row.unchanged > 0})
    if idle:
        found.append(
            f"fine-tuning changed nothing in {', '.join(idle)}: on a batch of the selected examples the tuned model "
            "gives what its base gives."
        )
    return (*found, *uneven)


def mixture_warnings(tables: Sequence[Table], records: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on arms whose runs were made with different versions of a library, or on different kinds of device."""
    by_key = {record.key: record for record in records}
    arms: dict[str, dict[str, None]] = {}
    for row in (row for table in tables for row in table.rows):
        runs = [by_key[key] for key in row.runs if key in by_key]
        for words in _mixtures(runs):
            arms.setdefault(words, {})[row.arm] = None
    return tuple(f"{', '.join(names)}: averaged over runs with {words}." for words, names in arms.items())


def _mixtures(runs: Sequence[Record]) -> list[str]:
    packages = [run.versions.get("packages") or {} for run in runs]
    found = []
    for name in dict.fromkeys(name for own in packages for name in own if name not in HARMLESS):
        versions = sorted({str(own[name]) for own in packages if name in own})
        if len(versions) > 1:
            found.append(f"different versions of {name} ({', '.join(versions)})")
    devices = sorted({known for run in runs if (known := device(run))})
    return [*found, *([f"different devices ({', '.join(devices)})"] if len(devices) > 1 else [])]


def _uneven_tokens_warning(table: Table) -> str:
    rows = [row for row in table.rows if not row.reference and row.response_tokens > 0]
    if len(rows) < 2:
        return ""
    most, least = max(rows, key=_response_tokens), min(rows, key=_response_tokens)
    if most.response_tokens <= (1 + TOKENS) * least.response_tokens:
        return ""
    more = count_text(100 * (most.response_tokens / least.response_tokens - 1))
    return (
        f"{table.name}: response tokens differ between arms by {more} % "
        f"({most.arm} {count_text(most.response_tokens)}, {least.arm} {count_text(least.response_tokens)}); "
        "budget_unit=tokens compares at equal tokens."
    )


def _response_tokens(row: ArmRow) -> float:
    return row.response_tokens
