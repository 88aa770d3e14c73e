"""How much a suite that was never run here has to read, as far as its options tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# lm-eval task -> test items, texts that are scored for each (the choices; 1 where an answer is generated), and subtasks.
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


@dataclass(frozen=True)
class Reading:
    """Test items, and how many times the length of an item they make a model read; `known` from the tasks' names."""

    items: float
    lengths: float
    known: bool


def reading(suite: Any, unknown_items: int) -> Reading:
    """Of any suite with `tasks`, `num_fewshot` (examples before each item) and `limit` (items per subtask), or without."""
    tasks, limit = list(getattr(suite, "tasks", [])), getattr(suite, "limit", None)
    shots = 1 + (getattr(suite, "num_fewshot", None) or 0)
    known = bool(tasks) and all(task in KNOWN for task in tasks)
    sizes = [KNOWN[task] for task in tasks] if known else [(unknown_items, 1, 1)]
    items = [min(count, limit * subtasks if limit else count) for count, _, subtasks in sizes]
    return Reading(sum(items), shots * sum(n * texts for n, (_, texts, _) in zip(items, sizes)), known)
