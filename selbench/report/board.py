"""What a leaderboard says, as plain data: every way to show it (terminal, JSON, Markdown, page) reads this.

A *setting* fixes all but the method and the budget; a *table* is one setting at one budget: its arms are compared
with each other, and with the arms that have no budget (`base`, `full`).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["better", "worse", "tied"]
OPPOSITE: dict[Verdict, Verdict] = {"better": "worse", "worse": "better", "tied": "tied"}


@dataclass(frozen=True)
class Difference:
    """Arm `a` against arm `b` in one table, in the metric's units; `mean` > 0 where a is better, whatever the metric.

    `low` and `high` bound the interval at the board's confidence; `p` is uncorrected, `p_adjusted` after the board's
    correction, from which `verdict` (of a) follows. `se_seed` and `se_item` part the standard error `se`: what other
    seeds and what other items would change (NaN where it cannot be known: one seed; no item-level results).
    `detectable` is the smallest difference that these seeds show at 80 % power, `seeds_needed` how many seeds per
    arm would show the difference found (None: no number below 10,000).
    """

    a: str
    b: str
    mean: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_adjusted: float = math.nan
    verdict: Verdict = "tied"
    se: float = math.nan
    se_seed: float = math.nan
    se_item: float = math.nan
    seeds: int = 0
    detectable: float = math.nan
    seeds_needed: int | None = None

    def turned(self) -> Difference:
        """The same seen from the other side: b against a."""
        return dataclasses.replace(
            self,
            a=self.b,
            b=self.a,
            mean=-self.mean,
            low=-self.high,
            high=-self.low,
            verdict=OPPOSITE[self.verdict],
        )


@dataclass(frozen=True)
class ArmRow:
    """One arm of a table. `arm` names it in differences; ranks are 1-based and shared by arms that are tied.

    `score` is the mean over seeds, as measured; `low` and `high` bound its interval, `se` is its standard error, of
    which `se_seed` and `se_item` as in Difference. `reference` arms (base, full beside arms with a budget) are compared
    but not ranked: their ranks are 0. `relative_to_full` is score / full - 1 as papers quote it. Costs are means per
    run; `steps` are the optimiser's. `examples` and `response_tokens` were selected; of them `trained` examples were
    trained on, `cut` ones are longer than the training `context` (tokens), `dropped` ones are not trained on for it;
    `tokens_trained` are the response tokens in the loss of the whole training, all epochs (NaN where the trainer does not
    say), `tokens_fit` those of the selected examples that fit into the context, `tokens_lost` the share that does not.
    `items_cut` test items did not fit into the model, `items_left_out` ones are not in the score.
    """

    arm: str
    selector: str
    scorer: str = ""
    budget: str = ""
    amount: float = math.nan
    score: float = math.nan
    low: float = math.nan
    high: float = math.nan
    se: float = math.nan
    se_seed: float = math.nan
    se_item: float = math.nan
    seeds: int = 0
    rank_low: int = 0
    rank_high: int = 0
    reference: bool = False
    vs_baseline: Difference | None = None
    relative_to_full: float = math.nan
    examples: float = math.nan
    response_tokens: float = math.nan
    trained: float = math.nan
    cut: float = math.nan
    dropped: float = math.nan
    tokens_trained: float = math.nan
    tokens_fit: float = math.nan
    tokens_lost: float = math.nan
    context: float = math.nan
    steps: float = math.nan
    selection_s: float = math.nan
    training_s: float = math.nan
    evaluation_s: float = math.nan
    flops: float = math.nan
    money: float = math.nan
    leaked: int | None = None
    items_cut: float = math.nan
    items_left_out: float = math.nan
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One setting at one budget: `rows` best first, `pairs` every pair of its arms once (a above b)."""

    setting: dict[str, Any]
    budget: str
    higher_is_better: bool
    rows: tuple[ArmRow, ...]
    pairs: tuple[Difference, ...]

    @property
    def name(self) -> str:
        """Stable within a board, such as `planted · planted-1m · 10%`."""
        parts = [str(self.setting.get(key) or "") for key in ("suite", "task", "model", "pool")]
        return " · ".join(part for part in [*parts, self.budget] if part)


@dataclass(frozen=True)
class Aggregate:
    """One arm (`selector` holds its name) over all tables where it and what it is compared with stand.

    `mean_difference` to the baseline with its interval, in the metric's units (NaN where tables have different
    metrics), over `clusters` settings and tasks; average rank; wins/ties/losses by verdict against the baseline,
    `random` and `full`; `budget_area`: mean score over the budgets between the smallest and the largest, by trapezoids
    on log budget, per setting then averaged (NaN with one budget).
    """

    selector: str
    tables: int
    average_rank: float
    mean_difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    clusters: int = 0
    wins_baseline: tuple[int, int, int] = (0, 0, 0)
    wins_random: tuple[int, int, int] = (0, 0, 0)
    wins_full: tuple[int, int, int] = (0, 0, 0)
    relative_to_full: float = math.nan
    budget_area: float = math.nan


@dataclass(frozen=True)
class Critical:
    """Average ranks over tables and which of them cannot be told apart (`groups` of selectors).

    `distance` is Nemenyi's critical difference (Demsar 2006, section 3.2.2); `p` is Friedman's. NaN where there
    are too few tables or arms.
    """

    ranks: dict[str, float] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()
    distance: float = math.nan
    p: float = math.nan
    tables: int = 0


@dataclass(frozen=True)
class Board:
    """Everything a report says of a set of scores."""

    baseline: str
    test: str
    correction: str
    confidence: float
    tables: tuple[Table, ...]
    aggregates: tuple[Aggregate, ...] = ()
    critical: Critical = field(default_factory=Critical)
    counts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON takes it: NaN becomes None, and each table has its name."""
        found: dict[str, Any] = _as_json(dataclasses.asdict(self))
        found["tables"] = [{"name": table.name, **plain} for table, plain in zip(self.tables, found["tables"])]
        return found


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value
