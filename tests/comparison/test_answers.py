"""Items of two sides: only those that every run answered are compared, and the others are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from selbench.comparison.overlap import selection_overlap
from selbench.comparison.score_differences import Answers, score_differences
from selbench.comparison.sides import Side
from selbench.statistics.chance import expected_jaccard
from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow
from selbench.store.files import write_json
from selbench.store.item_scores import ItemScores
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, SELECTION, Record

Tasks = Mapping[str, Mapping[str, float]]  # task -> item -> value


class Bench:
    """Writes runs with items of the suite `quiz`, and puts them on sides."""

    def __init__(self, folder: Path) -> None:
        self.records = Outputs(folder).records

    def record(self, key: str, tasks: Tasks, higher: bool = True, chosen: Sequence[str] = ()) -> Record:
        rows = [ScoreRow("quiz", task, "acc", float(np.mean([*of.values()])), higher) for task, of in tasks.items()]
        record = Record(key, "finished", Axes(pool_key="p"), {}, scores=rows)
        self.records.write(record)
        items = [("quiz", task, "acc", item, value) for task, of in tasks.items() for item, value in of.items()]
        table = pd.DataFrame(items, columns=["suite", "task", "metric", "item", "value"])
        table.to_parquet(self.records.folder(key) / ITEMS)
        write_json(self.records.folder(key) / SELECTION, {"ids": list(chosen), "scores": None})
        return record

    def answers(self, a: Side, b: Side) -> Answers | None:
        return Answers.of("quiz", a, b, ItemScores(self.records.root, [*a.records, *b.records]))


def side(*records: Record) -> Side:
    return Side(records[0].key, records, tuple(range(len(records))))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_items_of_one_side_only_are_left_out_and_counted(bench):
    a = side(bench.record("a", {"one": {"x": 1.0, "y": 0.0, "only-a": 1.0}}))
    b = side(bench.record("b", {"one": {"y": 1.0, "x": 1.0, "only-b": 0.0, "more-b": 0.0}}))
    found = bench.answers(a, b)
    assert found is not None
    assert [item for _, item in found.index] == ["x", "y"] and found.left_out == 3
    assert found.difference.tolist() == [[0.0, -1.0]]  # by item, whatever the order in the files
    changes = found.changes()
    assert (changes.answers, changes.changed, changes.only_a, changes.only_b, changes.left_out) == (2, 1, 0, 1, 3)


def test_an_item_that_one_seed_lacks_is_left_out_of_all_seeds(bench):
    a = side(bench.record("a0", {"one": {"x": 1.0, "y": 1.0}}), bench.record("a1", {"one": {"x": 0.0}}))
    b = side(bench.record("b0", {"one": {"x": 0.0, "y": 0.0}}), bench.record("b1", {"one": {"x": 0.0, "y": 0.0}}))
    found = bench.answers(a, b)
    assert found is not None and found.left_out == 1
    assert found.a.shape == found.b.shape == (2, 1) and found.difference.ravel().tolist() == [1.0, 0.0]


def test_an_item_of_one_name_in_two_tasks_is_two_items(bench):
    a = side(bench.record("a", {"one": {"x": 1.0}, "two": {"x": 0.0}}))
    b = side(bench.record("b", {"one": {"x": 0.0}, "two": {"x": 0.0}}))
    found = bench.answers(a, b)
    assert found is not None and found.starts().tolist() == [0, 1]
    assert found.part("one").tolist() == [[1.0]] and found.part("two").tolist() == [[0.0]]


def test_sides_without_a_common_item_or_without_items_have_no_answers(bench):
    a = side(bench.record("a", {"one": {"x": 1.0}}))
    b = side(bench.record("b", {"one": {"y": 1.0}}))
    assert bench.answers(a, b) is None
    (bench.records.folder("b") / ITEMS).unlink()
    assert bench.answers(a, b) is None


def test_differences_are_above_zero_where_a_is_better_though_lower_is_better(bench):
    a = side(bench.record("a", {"one": {"x": 0.5, "y": 1.0}}, higher=False))
    b = side(bench.record("b", {"one": {"x": 2.5, "y": 1.0}}, higher=False))
    found = bench.answers(a, b)
    assert found is not None and found.difference.tolist() == [[2.0, 0.0]]
    changes = found.changes()
    assert not changes.binary and (changes.changed, changes.only_a, changes.only_b) == (1, 0, 0)
    (row,) = score_differences("quiz", a, b, found)
    assert (row.a, row.b, row.mean) == (0.75, 1.75, 1.0) and row.items == 2


def test_a_task_of_one_side_only_has_no_row_of_its_own(bench):
    a = side(bench.record("a", {"one": {"x": 1.0, "y": 1.0}, "two": {"x": 1.0, "y": 0.0}}))
    b = side(bench.record("b", {"one": {"x": 0.0, "y": 0.0}}))
    rows = score_differences("quiz", a, b, bench.answers(a, b))
    assert [row.task for row in rows] == ["", "one"]
    assert (rows[1].a, rows[1].b, rows[1].mean) == (1.0, 0.0, 1.0)


def test_the_overlap_is_a_mean_over_seeds_and_ranks_ids_by_how_often_they_stand_alone(bench):
    task = {"one": {"x": 1.0}}
    a = side(bench.record("a0", task, chosen="zqp"), bench.record("a1", task, chosen="rqs"))
    b = side(bench.record("b0", task, chosen="pxy"), bench.record("b1", task, chosen="sxr"))
    found = selection_overlap(a, b, bench.records.root, 10)
    assert found is not None
    assert (found.a, found.b, found.shared, found.only_a, found.only_b) == (3, 3, 1.5, 1.5, 1.5)
    assert found.jaccard == pytest.approx((1 / 5 + 2 / 4) / 2)
    assert found.chance == pytest.approx(expected_jaccard(3, 3, 10))
    assert found.top_a == ("q", "z") and found.top_b == ("x", "y")


def test_there_is_no_overlap_with_another_pool_or_an_empty_selection(bench):
    task = {"one": {"x": 1.0}}
    a, empty = side(bench.record("a", task, chosen="pq")), side(bench.record("b", task))
    assert selection_overlap(a, empty, bench.records.root, 10) is None
    other = Record("c", "finished", Axes(pool_key="another"), {})
    bench.records.write(other)
    write_json(bench.records.folder("c") / SELECTION, {"ids": ["p"]})
    assert selection_overlap(a, side(other), bench.records.root, 10) is None


def test_why_items_cannot_be_compared_is_said(bench):
    from dataclasses import replace

    from selbench.comparison.side_by_side import compare_sides

    def note(a: Side, b: Side) -> str:
        return " ".join(compare_sides(a, b, bench.records.root.parent).notes)

    good = side(bench.record("good", {"one": {"x": 1.0, "y": 0.0}}))
    other = side(bench.record("other", {"one": {"p": 1.0, "q": 0.0}}))
    assert "item-level results, but of different items" in note(good, other)
    whole = bench.record("whole", {"one": {"x": 1.0, "y": 0.0}})  # a score such as a perplexity, of the whole set
    bench.records.write(whole := replace(whole, scores=[replace(whole.scores[0], value=0.7)]))
    assert "has item-level results, but a score that is not their mean" in note(good, side(whole))
    none = bench.record("none", {"one": {"x": 1.0, "y": 0.0}})
    (bench.records.folder("none") / ITEMS).unlink()
    assert "(none) has no item-level results, so" in note(good, side(none))


def test_tasks_that_one_side_lacks_are_named_and_only_the_others_are_compared(bench, tmp_path):
    from selbench.comparison.side_by_side import compare_sides

    a = side(bench.record("a", {"one": {"x": 1.0, "y": 1.0}, "two": {"x": 0.0, "y": 1.0}}))
    b = side(bench.record("b", {"one": {"x": 0.0, "y": 1.0}, "three": {"x": 1.0}, "four": {"x": 1.0}}))
    found = compare_sides(a, b, tmp_path)
    assert [row.task for row in found.scores] == ["", "one"]
    row = found.scores[0]
    assert (row.a, row.b, row.mean) == (1.0, 0.5, 0.5)  # of the task `one`, and not of means over different tasks
    notes = " ".join(found.notes)
    assert "quiz: a has no score on four, three; 1 of the 4 tasks are compared." in notes
    assert "quiz: b has no score on two; 1 of the 4 tasks are compared." in notes
    c = side(bench.record("c", {"five": {"x": 1.0}}))
    found = compare_sides(a, c, tmp_path)
    assert found.scores == () and "0 of the 3 tasks are compared" in " ".join(found.notes)
