"""Spaces that read files, tags as vectors and scores, and what is said of files that do not fit the pool."""

from __future__ import annotations

import json

import numpy as np
import pytest

from selbench.api import Budget, Context, Example, Pool
from selbench.errors import UserError
from selbench.parts.part import made_part
from selbench.store.keys import digest, plugin_identity


@pytest.fixture
def pool() -> Pool:
    return Pool([Example(f"t{i}", f"ask {i}", f"say {i}") for i in range(5)])


TAGS = {"t0": [1, 2, 3, 4], "t1": [3, 4, 5], "t2": [5, 6], "t3": [1, 6], "t4": [7]}


@pytest.fixture
def tags_file(tmp_path):
    path = tmp_path / "tags.jsonl"
    path.write_text("\n".join(json.dumps({"id": id, "tags": tags}) for id, tags in TAGS.items()))
    return str(path)


def chosen(rule, space, pool: Pool, k: int) -> list[int]:
    found = made_part("rule", rule).choose(made_part("space", space), pool, Budget.of(pool, k), Context(pool))
    return [int(id[1:]) for id in found.ids]


# The orders worked out by hand for the tags T0={1,2,3,4}, T1={3,4,5}, T2={5,6}, T3={1,6}, T4={7}.
@pytest.mark.parametrize(
    ("rule", "k", "expected"),
    [
        ({"name": "coverage", "objective": "set_cover"}, 5, [0, 2, 4, 1, 3]),
        ({"name": "coverage", "objective": "log"}, 5, [0, 1, 2, 3, 4]),
        ({"name": "coverage", "objective": "set_cover", "weights": "idf"}, 3, [0, 2, 4]),
        # Most tags first: T0 (4), T1 (adds 5), T2 (adds 6), T3 adds none, T4 adds 7; then T3.
        ("tag_cover", 5, [0, 1, 2, 4, 3]),
        # Rarest first: tags 2 and 7 have one example; then 1: T3 (T0 is taken), 3: T1, 4: none, 5: T2.
        ("round_robin", 5, [0, 4, 3, 1, 2]),
        ("by_score", 3, [0, 1, 2]),
        # Sizes 4, 3, 2, 2, 1: ascending T4, T2, T3, T1, T0; the middle is T3, then T2 and T1 beside it.
        ({"name": "by_score", "take": "middle"}, 3, [3, 2, 1]),
        ({"name": "by_score", "take": "bottom"}, 2, [4, 2]),
    ],
)
def test_rules_over_tags_as_worked_out_by_hand(rule, k, expected, pool, tags_file):
    assert chosen(rule, {"name": "tags_file", "path": tags_file}, pool, k) == expected


def test_tags_as_vectors_have_the_cosine_of_sets(pool, tags_file):
    vectors = made_part("space", {"name": "tags_file", "path": tags_file}).vectors(pool, Context(pool))
    sets = [set(TAGS[id]) for id in pool.ids]
    expected = [[len(a & b) / np.sqrt(len(a) * len(b)) for a in sets] for b in sets]
    assert vectors @ vectors.T == pytest.approx(np.array(expected), abs=1e-6)
    reduced = made_part("space", {"name": "tags_file", "path": tags_file, "dimension": 2})
    assert reduced.vectors(pool, Context(pool)).shape == (5, 2)


def test_examples_without_tags_come_last_and_are_zero_vectors(pool, tmp_path):
    path = tmp_path / "bare.jsonl"
    path.write_text("\n".join(json.dumps({"id": f"t{i}", "tags": ["a"] if i == 3 else []}) for i in range(5)))
    space = {"name": "tags_file", "path": str(path)}
    for rule in ("round_robin", "tag_cover", "coverage"):
        assert chosen(rule, space, pool, 5) == [3, 0, 1, 2, 4]
    assert chosen("facility_location", space, pool, 2) == [3, 0]
    path.write_text("\n".join(json.dumps({"id": f"t{i}", "tags": []}) for i in range(5)))
    for rule in ("round_robin", "tag_cover", "coverage", "facility_location", "semantic_duplicates"):
        assert sorted(chosen(rule, space, pool, 5)) == [0, 1, 2, 3, 4]


def test_the_middle_of_an_even_number_of_scores(tmp_path):
    six = Pool([Example(f"t{i}", "ask", "say") for i in range(6)])
    path = tmp_path / "scores.csv"
    path.write_text("id,score\n" + "".join(f"t{i},{score}\n" for i, score in enumerate([60, 10, 50, 20, 40, 30])))
    space = {"name": "scores_file", "path": str(path)}
    assert sorted(chosen({"name": "by_score", "take": "middle"}, space, six, 2)) == [4, 5]
    assert sorted(chosen({"name": "by_score", "take": "middle"}, space, six, 4)) == [2, 3, 4, 5]
    assert chosen("by_score", space, six, 3) == [0, 2, 4]


def write_vectors(folder, ids, values, ending=".txt"):
    np.save(folder / "v.npy", values)
    text = "\n".join(ids) if ending == ".txt" else json.dumps(ids)
    (folder / f"v{ending}").write_text(text)
    return {"name": "vectors_file", "path": str(folder / "v.npy")}


@pytest.mark.parametrize("ending", [".txt", ".json"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8])
def test_vectors_are_put_in_the_order_of_the_pool(pool, tmp_path, ending, kind):
    ids = ["t3", "other", "t0", "t4", "t1", "t2"]
    values = np.arange(12).reshape(6, 2).astype(kind)
    space = made_part("space", write_vectors(tmp_path, ids, values, ending))
    space.check()
    space.check_budget(Budget.of(pool, 2))
    found = space.vectors(pool, Context(pool))
    assert found.dtype == np.float32
    assert found.tolist() == [[4, 5], [8, 9], [10, 11], [0, 1], [6, 7]]


def test_the_line_by_hand_from_a_file(pool, tmp_path):
    space = write_vectors(tmp_path, list(pool.ids), np.array([[0], [1], [2], [7], [10]], np.float16))
    assert chosen({"name": "facility_location", "similarity": "euclidean"}, space, pool, 3) == [1, 3, 4]
    assert chosen({"name": "k_center", "metric": "euclidean", "first": "0"}, space, pool, 4) == [0, 4, 3, 2]


@pytest.mark.parametrize(
    ("ids", "values", "named"),
    [
        (["t0", "t1", "t2"], np.zeros((3, 2)), "lacks 2 of the pool's 5 examples: 't3', 't4'; its ids look like 't0'"),
        (["t0", "t1"], np.zeros((3, 2)), "has 3 rows, and .* names 2 ids"),
        (["t0", "t0"], np.zeros((2, 2)), "names the id 't0' more than once"),
        (["t0", "t1"], np.zeros(2), r"not shape \(2,\)"),
        (["t0"], np.array([["a"]]), "holds no vectors"),
        (["t0"], np.array([[None]], object), "cannot be read as a .npy file"),
    ],
)
def test_files_that_do_not_fit_are_named(ids, values, named, pool, tmp_path):
    space = made_part("space", write_vectors(tmp_path, ids, values))
    with pytest.raises(UserError, match=named):
        space.check()
        space.check_budget(Budget.of(pool, 2))


def test_ids_are_asked_for_where_there_are_none(tmp_path):
    np.save(tmp_path / "alone.npy", np.zeros((2, 2)))
    with pytest.raises(
        UserError, match=r"name their file with selector\.space\.ids, or put it beside it as alone\.txt or"
    ):
        made_part("space", {"name": "vectors_file", "path": str(tmp_path / "alone.npy")}).check()
    with pytest.raises(UserError, match=r"has no file: name it with selector\.space\.path=FILE"):
        made_part("space", "vectors_file").check()


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([{"id": "t0", "rating": 1}], "columns 'id' and 'score' are needed, and its columns are id, rating"),
        ([{"id": "t0", "score": "high"}], "the score of 't0' is 'high', which is no finite number"),
        ([{"id": "t0", "score": float("nan")}], "no finite number"),
        ([{"id": "t0", "score": True}], "no finite number"),
        ([{"id": "t0", "score": 1}, {"id": "t0", "score": 2}], "'t0' stands in an earlier row too"),
        ([{"id": f"t{i}", "score": i} for i in range(4)], "lacks 1 of the pool's 5 examples: 't4'"),
        ([], "holds no rows"),
    ],
)
def test_score_files_that_do_not_fit_are_named(rows, named, pool, tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    space = made_part("space", {"name": "scores_file", "path": str(path)})
    with pytest.raises(UserError, match=named):
        space.check()
        space.check_budget(Budget.of(pool, 2))


def test_the_key_holds_what_a_file_holds_and_not_where_it_is(pool, tmp_path):
    from selbench_plugins.selectors.parts import Parts

    keys = []
    for name, values in (("a", [1.0, 2]), ("b", [1.0, 2]), ("c", [2.0, 1])):
        (tmp_path / name).mkdir()
        space = write_vectors(tmp_path / name, ["t0", "t1"], np.array(values)[:, None])
        keys.append(digest(plugin_identity(Parts(space=space))))
    assert keys[0] == keys[1] != keys[2]
