"""The leaderboard as plain data, from which terminal, JSON, Markdown and HTML page are made.

A *setting* fixes everything but the method and the budget. A *table* is one setting at one budget: its arms are
compared with each other, and with the arms that have no budget (`base`, `full`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

# Which intervals a board shows beside differences: those that agree with the verdicts, those that hold together for all
# pairs of a family, or those of each difference by itself.
Intervals = Literal["corrected", "simultaneous", "plain"]
INTERVALS: tuple[str, ...] = get_args(Intervals)
Verdict = Literal["better", "worse", "tied"]
OPPOSITE: dict[Verdict, Verdict] = {"better": "worse", "worse": "better", "tied": "tied"}


@dataclass(frozen=True)
class Difference:
    """Arm `a` against arm `b` in one table, in the metric's units. Unknown figures are NaN."""

    a: str
    b: str
    mean: float  # above 0 if a is better, whatever the metric
    low: float = math.nan  # lower end of the interval at the board's confidence
    high: float = math.nan  # its upper end
    p: float = math.nan  # uncorrected
    p_adjusted: float = math.nan  # after the board's correction
    verdict: Verdict = "tied"  # on a, from p_adjusted; also "tied" if nothing could be tested
    se: float = math.nan  # standard error of `mean`
    se_seed: float = math.nan  # its part from other seeds; NaN if the seed noise is unknown
    se_item: float = math.nan  # its part from other items; NaN without item-level results
    seeds: int = 0  # how many seeds the difference rests on
    detectable: float = math.nan  # the smallest difference that these seeds show at 80 % power, as the only one
    seeds_needed: int | None = None  # seeds per arm that would show this difference; None: MOST_SEEDS are too few
    low_corrected: float = math.nan  # lower end of the interval that excludes 0 exactly if the verdict is not "tied"
    high_corrected: float = math.nan  # its upper end
    low_simultaneous: float = math.nan  # lower end of an interval; those of all pairs of a family hold together
    high_simultaneous: float = math.nan  # its upper end

    @property
    def tested(self) -> bool:
        """Whether the verdict rests on a test; an untested difference is "tied" too."""
        return math.isfinite(self.p_adjusted) or math.isfinite(self.p)

    def ends(self, intervals: Intervals) -> tuple[float, float]:
        """The lower and upper end of one of its intervals."""
        if intervals == "plain":
            return self.low, self.high
        if intervals == "simultaneous":
            return self.low_simultaneous, self.high_simultaneous
        return self.low_corrected, self.high_corrected

    def turned(self) -> Difference:
        """The same difference seen from the other side: b against a."""
        return dataclasses.replace(
            self,
            a=self.b,
            b=self.a,
            mean=-self.mean,
            low=-self.high,
            high=-self.low,
            low_corrected=-self.high_corrected,
            high_corrected=-self.low_corrected,
            low_simultaneous=-self.high_simultaneous,
            high_simultaneous=-self.low_simultaneous,
            verdict=OPPOSITE[self.verdict],
        )


@dataclass(frozen=True)
class ArmRow:
    """One arm of a table. Scores are in the metric's units, costs are means per run, unknown figures are NaN."""

    arm: str  # its label, by which differences name it
    selector: str
    scorer: str = ""
    target: str = ""  # as shown; empty for an arm without one
    budget: str = ""  # as shown; empty for an arm without one
    amount: float = math.nan  # the budget as a number, to sort by
    score: float = math.nan  # mean over seeds, as measured
    low: float = math.nan  # lower end of the score's interval at the board's confidence
    high: float = math.nan  # its upper end
    se: float = math.nan  # standard error of the score
    se_seed: float = math.nan  # its part from other seeds
    se_item: float = math.nan  # its part from other items
    seeds: int = 0  # runs behind the score
    rank_low: int = 0  # the best rank that the verdicts allow, from 1; 0 for a reference
    rank_high: int = 0  # the worst
    reference: bool = False  # base or full beside arms with a budget: compared with them, but not ranked
    outlying: bool = False  # so much noisier than other cells predict that its own seeds alone say how noisy it is
    constant: bool = False  # equal scores under several seeds: the floor or ceiling of a task, which shows no noise
    vs_baseline: Difference | None = None  # this arm against the baseline; None for the baseline itself or without one
    relative_to_full: float = math.nan  # score / full - 1, as papers quote it
    examples: float = math.nan  # selected
    asked: float = math.nan  # the budget, in its unit, of which the selection stopped short; NaN for one that did not
    response_tokens: float = math.nan  # of the selected examples
    trained: float = math.nan  # examples that were trained on
    cut: float = math.nan  # examples longer than the training context
    dropped: float = math.nan  # examples of which no response is left within it
    tokens_trained: float = math.nan  # response tokens in the loss of the whole training; NaN: the trainer does not say
    tokens_fit: float = math.nan  # those of the selected examples that fit into the context: of one epoch
    tokens_lost: float = math.nan  # the share of those of the selected examples that does not fit
    context: float = math.nan  # the training context in tokens
    steps: float = math.nan  # of the optimiser
    selection_s: float = math.nan  # wall-clock seconds, features included
    training_s: float = math.nan  # wall-clock seconds
    evaluation_s: float = math.nan  # wall-clock seconds
    flops: float = math.nan  # floating-point operations of all stages
    money: float = math.nan  # of all stages, in the currency of the configured prices
    leaked: int | None = None  # selected examples that overlap with the suite's items; None: not checked
    target_leaked: float = math.nan  # test items of this table's suite in its targets; NaN: no target, or not checked
    unchanged: float = math.nan  # share of runs whose fine-tuning changed nothing
    items_cut: float = math.nan  # test items that were scored although some of their text did not fit
    items_left_out: float = math.nan  # test items that are not in the score
    runs: tuple[str, ...] = ()  # keys, in the order of the seeds


@dataclass(frozen=True)
class Table:
    """One setting at one budget."""

    setting: dict[str, Any]  # the columns tidy.SETTING
    budget: str  # as shown; empty if no arm has one
    higher_is_better: bool
    rows: tuple[ArmRow, ...]  # best first
    pairs: tuple[Difference, ...]  # every pair of arms once, the better one as a
    all_equal: bool = False  # whether all scores of several arms are one number, so that there is nothing to test

    @property
    def name(self) -> str:
        """The suite, task, model, pool and budget of the table: `planted · planted-1m · planted · 10%`."""
        return self.named(("suite", "suite_options", "task", "model", "pool"))

    def named(self, words: Sequence[str]) -> str:
        """These parts of the setting, and the budget: `planted · planted-1m · 10%`."""
        parts = [str(self.setting.get(word) or "") for word in words]
        return " · ".join(part for part in [*parts, self.budget] if part)


@dataclass(frozen=True)
class Aggregate:
    """One arm over all tables that have it. Unknown figures are NaN, and so are means over different metrics."""

    selector: str  # the arm's label
    tables: int  # how many tables have the arm
    average_rank: float
    mean_difference: float = math.nan  # to the baseline, in the metric's units, above 0 if the arm is better
    low: float = math.nan  # lower end of its interval at the board's confidence, by itself
    high: float = math.nan  # its upper end
    low_simultaneous: float = math.nan  # lower end of an interval; those of all arms hold together
    high_simultaneous: float = math.nan  # its upper end
    p: float = math.nan  # uncorrected
    p_adjusted: float = math.nan  # corrected for the number of arms (Bonferroni)
    clusters: int = 0  # how many settings and tasks the mean difference is over
    wins_baseline: tuple[int, int, int] = (0, 0, 0)  # tables won, tied and lost by verdict against the baseline
    wins_random: tuple[int, int, int] = (0, 0, 0)  # the same against `random`
    wins_full: tuple[int, int, int] = (0, 0, 0)  # the same against `full`
    relative_to_full: float = math.nan  # mean of score / full - 1
    budget_area: float = math.nan  # mean score over log budget, smallest to largest, averaged over settings

    def ends(self, intervals: Intervals) -> tuple[float, float]:
        """The lower and upper end of the mean difference's interval: by itself if they are "plain", else simultaneous."""
        if intervals == "plain":
            return self.low, self.high
        return self.low_simultaneous, self.high_simultaneous


@dataclass(frozen=True)
class Critical:
    """Average ranks of arms over settings and tasks, and which of them cannot be told apart (Demsar 2006).

    NaN if there are fewer than two settings and tasks, or fewer than three arms.
    """

    ranks: dict[str, float] = field(default_factory=dict)  # arm -> average rank, the best first
    groups: tuple[tuple[str, ...], ...] = ()  # arms whose ranks differ by less than `distance`
    distance: float = math.nan  # Nemenyi's critical difference (section 3.2.2)
    p: float = math.nan  # of Friedman's test
    tables: int = 0  # how many settings and tasks are averaged


@dataclass(frozen=True)
class Board:
    """Everything that a report says of a set of scores."""

    baseline: str  # the selector that every arm is compared with
    test: str  # moderated, paired or welch (see statistics.differences)
    correction: str  # joint, none, holm-table, holm or bh (see statistics.multiplicity)
    confidence: float  # of the intervals; a verdict needs an adjusted p below 1 - confidence
    tables: tuple[Table, ...]
    aggregates: tuple[Aggregate, ...] = ()  # one per arm, over all tables
    critical: Critical = field(default_factory=Critical)
    counts: dict[str, Any] = field(default_factory=dict)  # see counts.verdict_counts
    warnings: tuple[str, ...] = ()  # sentences on what may mislead
    notes: tuple[str, ...] = ()  # sentences on how the verdicts were reached
    intervals: Intervals = "corrected"  # which are shown beside differences; the board holds all

    def plain(self) -> dict[str, Any]:
        """The board as values that JSON can hold: NaN becomes None, and each table has its name."""
        found: dict[str, Any] = _plain_value(dataclasses.asdict(self))
        found["tables"] = [{"name": table.name, **plain} for table, plain in zip(self.tables, found["tables"])]
        return found


def varied_words(tables: Sequence[Table], words: Sequence[str]) -> tuple[str, ...]:
    """Those of these parts of a setting in which the tables differ."""
    return tuple(word for word in words if len({str(table.setting.get(word) or "") for table in tables}) > 1)


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value
