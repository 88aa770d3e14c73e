"""Notes and warnings of a board, in sentences: how its verdicts were reached, and what may mislead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from selbench.numbers import count_text, counted_text, digits_text, number_text, percent_text
from selbench.report.tidy import BASELINE
from selbench.statistics.multiplicity import ABOUT
from selbench.store.records import Record, device

if TYPE_CHECKING:
    from selbench.report.arms import Arms
    from selbench.report.board import ArmRow, Table
    from selbench.report.pairs import Measured, Tested

# A warning is due if the response tokens that two arms of a table were trained on differ by more than this share.
TOKENS = 0.10
# An arm of which more than this share of the examples or of their response tokens was not trained on is named.
CUT = 0.05

# So many outlying cells are named.
SHOWN = 4

# Libraries on which no score depends.
HARMLESS = ("mlflow",)

# What a report says of each test.
TESTS = {
    "moderated": "moderated t test on differences under the same seeds; the seed variance of each arm, without what the arms "
    "of its table share under a seed, is drawn towards what the other cells of the board say (after Smyth 2004)",
    "paired": "t test on differences paired by seed",
    "welch": "Welch's t test, arms taken as independent samples",
}


def board_notes(
    arms: Arms, found: Tested, measured: Measured, test: str, correction: str, confidence: float
) -> tuple[str, ...]:
    """Sentences on the test, the correction, the population that verdicts are about, and what is known of the noise."""
    way = "shaffer" if correction == "joint" and test != "moderated" else correction
    said = [
        f"Test: {TESTS[test]}. A verdict needs an adjusted p below {digits_text(1 - confidence, 3)}.",
        f"Correction: {ABOUT[way]}. The files hold three "
        f"{percent_text(confidence)} intervals of each difference: by itself, corrected, and simultaneous.",
    ]
    if len(found.mean):
        said.append(_population_sentence(found))
    unknown = ~np.isfinite(found.se_seed)
    if found.exact.any():
        said.append(
            f"{counted_text(int(found.exact.sum()), 'difference')} without noise: neither arm has a seed, and the scores are of "
            "the selection itself. It is exact on this pool; another pool may show another."
        )
    single = (found.seeds < 2) & np.isfinite(found.mean) & ~found.exact
    if (single & ~unknown).any():
        said.append(
            f"{counted_text(int((single & ~unknown).sum()), 'difference')} with one seed: the seed noise is borrowed from cells "
            "of the board that have several."
        )
    if unknown.any():
        said.append(
            f"{counted_text(int(unknown.sum()), 'difference')} with unknown seed noise (one seed, or equal scores "
            "throughout): no verdict."
        )
    if equal := int(arms.equal_tables.sum()):
        said.append(
            f"In {count_text(equal)} of {counted_text(len(arms.budgets), 'table')} all scores are equal, as at the floor or "
            "ceiling of a task: nothing to tell apart, and no verdicts there."
        )
    if test == "moderated" and (known := found.borrowed_df[~unknown & (found.borrowed_df > 0)]).size:
        worth = number_text(float(np.median(known)), 1)
        said.append(f"The borrowed seed variance is worth {worth} degrees of freedom (median of pairs).")
    if test == "moderated":
        said += _noise_sentences(arms, measured)
    if arms.reference.any():
        said.append("base and full have another budget than the arms beside them: compared with them, but not ranked.")
    return tuple(said)


def _noise_sentences(arms: Arms, measured: Measured) -> list[str]:
    """On cells of which the noise cannot be borrowed, or lent."""
    said = []
    cells = len(measured.constant)
    if constant := int(measured.constant.sum()):
        said.append(
            f"{count_text(constant)} of {counted_text(cells, 'cell')} with equal scores under all seeds (floor or ceiling of a "
            "task): nothing follows from that for the noise of others."
        )
    if measured.outlying.any():
        shown = [_cell_name(arms, place) for place in np.flatnonzero(measured.outlying)[:SHOWN]]
        more = int(measured.outlying.sum()) - len(shown)
        said.append(
            f"{', '.join(shown)}{f' and {count_text(more)} more' if more else ''}: far noisier than other cells predict, so "
            "nothing is borrowed for them. With two seeds such a cell is not always noticed."
        )
    return said


def _cell_name(arms: Arms, place: int) -> str:
    row = arms.units.iloc[place]
    where = " · ".join(str(row[name]) for name in ("suite", "task", "model", "budget") if row[name])
    return f"{row['label']} ({where})" if where else str(row["label"])


def _population_sentence(found: Tested) -> str:
    known = np.isfinite(found.se_item)
    if known.all():
        return "Verdicts are about other seeds and other items of the same tasks."
    without = "about other seeds on the same items: what other items would change is not in them."
    if not known.any():
        return f"Verdicts are {without}"
    return (
        f"{count_text(int(known.sum()))} of {counted_text(len(known), 'difference')} with item-level results: verdicts on "
        f"them are about other seeds and other items of the same tasks, on the others {without}"
    )


def board_warnings(tables: Sequence[Table], baseline: str) -> tuple[str, ...]:
    """Sentences on a missing baseline, a missing random arm, examples and test items that
    do not fit, and tables whose arms differ in response tokens."""
    selectors = {row.selector for table in tables for row in table.rows}
    found = []
    if baseline not in selectors:
        found.append(f"no arm `{baseline}` to compare with.")
    elif without := sum(all(row.selector != baseline for row in table.rows) for table in tables):
        found.append(
            f"{count_text(without)} of {counted_text(len(tables), 'table')} without an arm `{baseline}`: arms are compared with "
            "each other only there."
        )
    if BASELINE not in {name.lower() for name in selectors}:
        found.append(
            "no arm `random`: without it nobody can tell whether a method selects at all. Add selector=random."
        )
    cut = [line for table in tables if (line := _cut_warning(table))]
    uneven = [line for table in tables if (line := _uneven_tokens_warning(table))]
    idle = sorted({row.arm for table in tables for row in table.rows if row.unchanged > 0})
    if idle:
        found.append(
            f"fine-tuning changed nothing in {', '.join(idle)}: on a batch of the selected examples the tuned model "
            "gives what its base gives."
        )
    short = dict.fromkeys(_short_text(row) for table in tables for row in table.rows if row.asked > 0)
    if short:
        found.append(f"stopped short of the budget: {'; '.join(short)}. The arms of such a table differ in size.")
    missing = [line for table in tables if (line := _missing_items_warning(table))]
    return (*found, *cut, *missing, *uneven)


def target_leak_warnings(tables: Sequence[Table], records: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on arms whose target holds items of a suite that they are scored by."""
    by_key = {record.key: record for record in records}
    arms: dict[str, dict[str, None]] = {}
    for table in tables:
        suite = str(table.setting.get("suite", ""))
        for row in table.rows:
            for run in (by_key[key] for key in row.runs if key in by_key):
                for sentence in run.leaks[suite].target_sentences(suite) if suite in run.leaks else ():
                    arms.setdefault(sentence, {})[row.arm] = None
    return tuple(f"{', '.join(names)}: {said}, which selects with the test in view." for said, names in arms.items())


def drawn_once_notes(tables: Sequence[Table], records: Sequence[Record]) -> tuple[str, ...]:
    """Sentences on arms whose method drew something at random once for all seeds, as its fact `drawn_once` says."""
    by_key = {record.key: record for record in records}
    rows = (row for table in tables for row in table.rows)
    return drawn_once_sentences((row.arm, by_key[key]) for row in rows for key in row.runs if key in by_key)


def drawn_once_sentences(runs: Iterable[tuple[str, Record]]) -> tuple[str, ...]:
    """The same of runs, each with the name of its arm."""
    arms: dict[str, dict[str, None]] = {}
    for arm, run in runs:
        for what in run.selection.drawn_once:
            arms.setdefault(what, {})[arm] = None
    return tuple(
        f"{', '.join(names)}: {what} shared by all seeds: its luck is not in the interval."
        for what, names in arms.items()
    )


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


def _missing_items_warning(table: Table) -> str:
    """The most test items of an arm that are not in its score, or not whole."""
    said = []
    for field, words in (
        ("items_left_out", "test items are left out of the score"),
        ("items_cut", "test items are cut, because they do not fit into the model"),
    ):
        counts = [value for row in table.rows if (value := float(getattr(row, field))) > 0]
        if counts:
            spread = "" if len(counts) == len(table.rows) and len(set(counts)) == 1 else "up to "
            said.append(f"{spread}{count_text(max(counts))} {words}")
    return f"{table.name}: {'; '.join(said)}." if said else ""


def _short_text(row: ArmRow) -> str:
    """`semdedup 412 examples of 1,000`, means over the arm's runs."""
    got = row.response_tokens if row.budget.endswith("tok") else row.examples
    return f"{row.arm} ({row.budget}) with {count_text(got)} of {count_text(row.asked)}"


def _cut_warning(table: Table) -> str:
    """The arms of which more than CUT of the examples or of their response tokens does not fit into the context."""
    said = [_truncation_text(row) for row in table.rows if _much_is_cut(row)]
    if not said:
        return ""
    contexts = sorted({round(row.context) for row in table.rows if not np.isnan(row.context)})
    where = " and ".join(f"{length:,}" for length in contexts)
    return (
        f"{table.name}: the training context{f' of {where} tokens' if where else ''} does not hold all that was selected: "
        f"{'; '.join(said)}."
    )


def _much_is_cut(row: ArmRow) -> bool:
    shares = (max(row.cut, row.dropped) / row.examples if row.examples else 0.0, row.tokens_lost)
    return any(share > CUT for share in shares)


def _truncation_text(row: ArmRow) -> str:
    """Means over the arm's runs, in words."""
    lost = "" if np.isnan(row.tokens_lost) else f", {number_text(100 * row.tokens_lost, 1)} % of its response tokens"
    return (
        f"{row.arm} has {count_text(row.cut)} of {count_text(row.examples)} examples cut and "
        f"{count_text(row.dropped)} dropped{lost}"
    )


# What arms are compared by, the first of these that is known of all: field, and what it is called.
TOKEN_COUNTS = (
    ("tokens_trained", "response tokens trained on"),
    ("tokens_fit", "response tokens of an epoch"),
    ("response_tokens", "response tokens"),
)


def token_count(rows: Sequence[ArmRow]) -> tuple[str, str]:
    """The field and the name of the response tokens that these arms can be compared by."""
    selecting = [row for row in rows if row.examples > 0]
    known = (pair for pair in TOKEN_COUNTS if all(getattr(row, pair[0]) > 0 for row in selecting))
    return next(known, TOKEN_COUNTS[-1])


def _uneven_tokens_warning(table: Table) -> str:
    ranked = [row for row in table.rows if not row.reference]
    field, name = token_count(ranked)
    rows = [(tokens, row.arm) for row in ranked if (tokens := float(getattr(row, field))) > 0]
    if len(rows) < 2:
        return ""
    (most, longest), (least, shortest) = max(rows, key=itemgetter(0)), min(rows, key=itemgetter(0))
    if most <= (1 + TOKENS) * least:
        return ""
    return (
        f"{table.name}: {name} differ between arms by {count_text(100 * (most / least - 1))} % "
        f"({longest} {count_text(most)}, {shortest} {count_text(least)}); budget_unit=tokens compares at equal tokens."
    )
