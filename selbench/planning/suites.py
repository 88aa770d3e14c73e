"""What a suite's options tell of it before it was ever run here: how much a model reads in it, and the range of its scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# lm-eval task -> test items; texts that the model reads for each (one per choice; 1 where it writes an answer); subtasks.
KNOWN = {
    "mmlu": (14_042, 4, 57),
    "hellaswag": (10_042, 4, 1),
    "arc_challenge": (1_172, 4, 1),
    "arc_easy": (2_376, 4, 1),
    "truthfulqa_mc1": (817, 5, 1),
    "truthfulqa_mc2": (817, 7, 1),
    "winogrande": (1_267, 2, 1),
    "piqa": (1_838, 2, 1),
    "gsm8k": (1_319, 1, 1),
    "ifeval": (541, 1, 1),
    "humaneval": (164, 1, 1),
    "mbpp": (500, 1, 1),
}

# Suites whose scores have no fixed range: bits per byte.
OPEN_SCALES = {"response_loss"}


@dataclass(frozen=True)
class Reading:
    """How much a model reads in a suite."""

    items: float  # test items
    lengths: float  # texts of the length of one item: every choice of an item, and every example before it, is one more
    known: bool  # whether this comes from the names of the tasks, and is not assumed


def suite_reading(suite: Any, unknown_items: int) -> Reading:
    """How much a model reads in a suite; `unknown_items` is the number of items if its tasks are not known.

    The options that count, where a suite has them: `tasks`, `num_fewshot` (examples before each item) and `limit`
    (items per subtask).
    """
    tasks, limit = list(getattr(suite, "tasks", [])), getattr(suite, "limit", None)
    shots = 1 + (getattr(suite, "num_fewshot", None) or 0)
    known = bool(tasks) and all(task in KNOWN for task in tasks)
    sizes = [KNOWN[task] for task in tasks] if known else [(unknown_items, 1, 1)]
    items = [min(count, limit * subtasks if limit else count) for count, _, subtasks in sizes]
    return Reading(sum(items), shots * sum(n * texts for n, (_, texts, _) in zip(items, sizes)), known)


def has_share_scores(suite: Any) -> bool | None:
    """Whether a suite's scores lie between 0 and 1, as far as its kind and the names of its tasks tell; None if they do not."""
    if suite.plugin_name in OPEN_SCALES:
        return False
    tasks = list(getattr(suite, "tasks", []))
    return True if tasks and all(task in KNOWN for task in tasks) else None
