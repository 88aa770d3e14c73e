"""What every suite must do, one check each. The docstring of a check is the rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selbench.api import Chosen, Context, ModelRef, Score
from selbench.errors import PluginError
from selbench.hashing import folder_hash
from selbench.plugins import discover
from selbench.run.evaluate import checked_scores
from selbench.testing import common_rules
from selbench.testing.elsewhere import result_elsewhere
from selbench.testing.findings import Finding, NotTested, at_work, complaint, expect
from selbench.testing.model_copies import disturbed_model
from selbench.testing.subject import Subject
from selbench.testing.two_calls import first_result, second_result
from selbench.testing.watched import Watched, watched_call

SEED = 3
MEAN = "mean of its "  # what the complaint of `checked_scores` about a headline has in it
# A value may differ by this much between two evaluations of one model: sums of floats in another order.
ROUNDING = 1e-4


def returned(subject: Subject, folder: Path, model: ModelRef | None = None, seed: int = SEED) -> Any:
    """What `evaluate` of a new instance returns, whatever it is. Raises Finding with what it raised."""
    suite = subject.build()
    folder.mkdir(parents=True, exist_ok=True)
    with at_work(suite, "evaluate", "a list of Scores from evaluate()"):
        return suite.evaluate(model or _given(subject), Context(seed=seed, scratch=folder))


def _given(subject: Subject) -> ModelRef | Chosen:
    """What a suite is given to score: the model of the checks, or half of a small planted pool with its hidden labels."""
    if not subject.example.scores_selections:
        return dataclasses.replace(subject.scorer)
    source: Any = discover().get("pool", "planted").cls
    loaded = source(size=400).load()
    return Chosen(loaded.pool.ids[::2], loaded.pool, loaded.labels)


def _require_model(subject: Subject) -> None:
    if subject.example.scores_selections:
        raise NotTested("it scores selections, not models")


def scored(subject: Subject, folder: Path, model: ModelRef | None = None, seed: int = SEED) -> list[Score]:
    """The scores as a run takes them. Raises Finding for what a run refuses."""
    return _checked(subject, returned(subject, folder, model, seed))


def _checked(subject: Subject, found: Any) -> list[Score]:
    try:
        return checked_scores(found, subject.example)
    except PluginError as wrong:
        said = complaint(wrong, subject.example)
        raise Finding("scores that a run accepts", said, subject.place("evaluate")) from wrong


def first_scores(subject: Subject, scratch: Path) -> list[Score]:
    """The scores that other checks compare theirs with. Raises NotTested if there are none."""
    return first_result(subject, lambda: scored(subject, scratch / "first"))


def second_scores(subject: Subject, scratch: Path) -> list[Score]:
    """The same, evaluated once more."""
    return second_result(subject, lambda: scored(subject, scratch / "second"))


def _same_items(one: Sequence[Score], other: Sequence[Score]) -> str:
    """A word if two evaluations have other items, whatever their values are."""
    items = [[(score.task, score.metric, set(score.items)) for score in scores] for scores in (one, other)]
    return "" if items[0] == items[1] else "other items"


same_items_twice = common_rules.unchanging_result(first_scores, second_scores, _same_items)


def watched(subject: Subject, folder: Path) -> Watched:
    """An evaluation under watch. Raises NotTested if there is none without a watch."""
    first_scores(subject, folder)

    def watch() -> Watched:
        return watched_call(subject.example, "evaluate", lambda: scored(subject, folder / "watched"), folder)

    seen: Watched = subject.remember("watched", watch)
    return seen


def plain(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Scores as plain data."""
    return [dataclasses.asdict(score) for score in scores]


# ------------------------------------------------------------------------------------------------ checks


def the_base_model_is_scored(subject: Subject, scratch: Path) -> None:
    """`evaluate` scores a model that nobody has fine-tuned, or a selection: a list of Scores, finite, with a headline, all
    headlines of one direction, no (task, metric) twice."""
    finding = _first_finding(subject, scratch)
    if finding is not None and MEAN not in finding.found:
        raise finding


def headlines_are_means(subject: Subject, scratch: Path) -> None:
    """A headline score is the mean, or the weighted mean, of its items: a verdict is reached by the items."""
    finding = _first_finding(subject, scratch)
    if finding is not None and MEAN in finding.found:
        raise finding
    if not any(score.items for score in first_scores(subject, scratch) if score.headline):
        raise NotTested("no headline has items, so that verdicts rest on seeds alone")


def _first_finding(subject: Subject, scratch: Path) -> Finding | None:
    """Why there are no first scores; None if there are."""
    try:
        first_scores(subject, scratch)
    except NotTested as skipped:
        if isinstance(skipped.__cause__, Finding):
            return skipped.__cause__
        raise
    return None


def every_model_gets_the_same_items(subject: Subject, scratch: Path) -> None:
    """Another model gets scores for the same tasks and items, also where its answers are worse: runs are compared item by
    item."""
    _require_model(subject)
    first = same_items_twice(subject, scratch)
    _expect_same_items(subject, first, _of_other_model(subject, scratch)[0], "another model")


def the_model_is_left_alone(subject: Subject, scratch: Path) -> None:
    """The folder of the model that is scored holds the same files afterwards, and the ModelRef says the same."""
    _require_model(subject)
    first_scores(subject, scratch)
    said = _of_other_model(subject, scratch)[1]
    expect(not said, "the model as it was given", said, subject.place("evaluate"))


def _of_other_model(subject: Subject, scratch: Path) -> tuple[list[Score], str]:
    """The scores of a copy of the model with other weights, and what the suite did to the copy."""

    def evaluate() -> tuple[list[Score], str]:
        copy = disturbed_model(subject.scorer, scratch / "model")
        given, before = dataclasses.replace(copy), folder_hash(Path(copy.path))
        found = _checked(subject, returned(subject, scratch / "other", given))
        if given != copy:
            return found, f"another ModelRef: {given}"
        return found, "" if folder_hash(Path(copy.path)) == before else "other files in its folder"

    result: tuple[list[Score], str] = subject.remember("other model", evaluate)
    return result


def same_items_for_every_seed(subject: Subject, scratch: Path) -> None:
    """Another seed may change values but no task and no item: arms are paired item by item."""
    _require_model(subject)
    first = same_items_twice(subject, scratch)
    _expect_same_items(subject, first, scored(subject, scratch / "seeded", seed=SEED + 1), "another seed")


def _expect_same_items(subject: Subject, first: Sequence[Score], other: Sequence[Score], what: str) -> None:
    where = subject.place("evaluate")
    one, two = ({(score.task, score.metric): score for score in scores} for scores in (first, other))
    expect(
        one.keys() == two.keys(),
        f"the same tasks and metrics for {what}",
        f"{len(two)} scores instead of {len(one)}"
        + "".join(f"; {'/'.join(key)} is not in both" for key in sorted(one.keys() ^ two.keys())[:1]),
        where,
    )
    for key, score in one.items():
        expect(
            score.higher_is_better == two[key].higher_is_better and score.headline == two[key].headline,
            f"the same direction of {'/'.join(key)} for {what}",
            "another direction, or no headline any more",
            where,
        )
        gone = sorted(score.items.keys() ^ two[key].items.keys())
        expect(
            not gone,
            f"the same items of {'/'.join(key)} for {what}",
            f"{len(two[key].items)} items instead of {len(score.items)}: {gone[0] if gone else ''!r} is not in both",
            where,
        )


def same_seed_same_scores(subject: Subject, scratch: Path) -> None:
    """The same model and seed give the same scores and items."""
    said = difference(first_scores(subject, scratch), second_scores(subject, scratch))
    expect(not said, f"the same scores from two evaluations with seed {SEED}", said, subject.place("evaluate"))


def texts_are_of_the_items(subject: Subject, scratch: Path) -> None:
    """Where there is a `texts`, it gives the words of every item that is scored, under the item's id: the leak check
    searches the pool for them, and counts the items by them."""
    _require_model(subject)
    first = same_items_twice(subject, scratch)
    suite = subject.build()
    if not hasattr(suite, "texts"):
        raise NotTested("it has no texts(): the leak check cannot search for its items")
    where = subject.place("texts")
    with at_work(suite, "texts", "{task: {item: text}} from texts()"):
        texts = {str(task): dict(items) for task, items in suite.texts().items()}
        again = {str(task): dict(items) for task, items in suite.texts().items()}
    expect(texts == again, "the same texts from two calls", "other texts, or ids, the second time", where)
    wrong = [(task, id) for task, items in texts.items() for id, text in items.items() if not isinstance(text, str)]
    expect(not wrong, "text for every item", f"something else for {wrong[:1]}", where)
    empty = [id for items in texts.values() for id, text in items.items() if not text.strip()]
    expect(not empty, "words of every item", f"none for {len(empty)} of them, such as {empty[:1]}", where)
    everything = {str(id) for items in texts.values() for id in items}
    grouped = {f"{task}/{id}" for task, items in texts.items() for id in items}
    for score in first:
        if score.headline and score.items:
            of_task = {str(id) for id in texts.get(score.task, {})} or everything | grouped
            missing = sorted(set(score.items) - of_task)
            expect(
                not missing,
                f"the words of the {len(score.items)} items of task '{score.task}'",
                f"none for {len(missing)} of them, such as {missing[:1]}",
                where,
            )


def two_processes_agree(subject: Subject, scratch: Path) -> None:
    """Another process, with another hash seed, gives the same scores and items."""
    first = unchanging(subject, scratch)
    there = [Score(**row) for row in result_elsewhere(subject, work_elsewhere(subject, scratch))]
    said = difference(first, there)
    expect(
        not said,
        "the same scores in another process (sets and hash() have another order there)",
        said,
        subject.place("evaluate"),
    )


def work_elsewhere(subject: Subject, scratch: Path) -> dict[str, Any]:
    """What the other process is asked to do."""
    return {"scratch": str(scratch / "elsewhere")}


def difference(one: Sequence[Score], other: Sequence[Score]) -> str:
    """Where two evaluations part, in words; empty where they are the same but for rounding."""
    if [(score.task, score.metric) for score in one] != [(score.task, score.metric) for score in other]:
        return "other tasks or metrics, or in another order"
    for a, b in zip(one, other):
        if a.items.keys() != b.items.keys():
            gone = sorted(a.items.keys() ^ b.items.keys())
            return f"other items of task '{a.task}': {gone[0]!r} is not in both"
        scale = max([1e-12, abs(a.value), *(abs(value) for value in a.items.values())])
        for id in a.items:
            if abs(a.items[id] - b.items[id]) > ROUNDING * scale:
                return f"item {id!r} of task '{a.task}' is {b.items[id]:.6g} instead of {a.items[id]:.6g}"
        if abs(a.value - b.value) > ROUNDING * scale:
            return f"{a.task}/{a.metric} is {b.value:.6g} instead of {a.value:.6g}"
    return ""


unchanging = common_rules.unchanging_result(first_scores, second_scores, difference)

# A suite is given no examples, and its items are its own.
watching = common_rules.watching(watched, difference, unchanging)[:3]

suite_checks: tuple[Callable[[Subject, Path], None], ...] = (
    common_rules.options_round_trip,
    the_base_model_is_scored,
    headlines_are_means,
    same_seed_same_scores,
    same_items_for_every_seed,
    every_model_gets_the_same_items,
    texts_are_of_the_items,
    the_model_is_left_alone,
    *watching,
    two_processes_agree,
)
