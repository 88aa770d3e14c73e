"""`from_file`: what a file lists, matched to a pool; by hand, and for the published subsets of Alpaca."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from selbench_plugins.selectors.from_file import FromFile

from selbench.api import Budget, Context, Example, NotApplicable, Pool, UserError

DATA = Path(__file__).parents[4] / "shared" / "data"
POOL = Pool(
    [
        Example("a", "Add 1 and 1", "2"),
        Example("b", "Say  hi", "hi\nthere"),
        Example("c", "Same", "twice"),
        Example("d", "Name it", "red", input="<noinput>"),
        Example("e", "Same", "twice"),
        Example("f", "Again", "yes", history=(("Hi", "Hello"),), system="Be short"),
    ],
    "six",
)


def taken(path: Path, budget: int = 6, pool: Pool = POOL, **options: str) -> str:
    method = FromFile(str(path), **options)
    method.check()
    method.check_examples(pool)
    return "".join(method.select(pool, Budget.of(pool, budget), Context(pool)).ids)


ROWS = [{"id": "e", "score": 0.5}, {"id": "a", "score": 0.1}, {"id": "c", "score": 0.9}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x.jsonl", "cea"), ("x.json", "cea"), ("x.csv", "cea"), ("x.parquet", "cea"), ("x.jsonl.gz", "cea")],
)
def test_every_format_and_a_column_of_scores(tmp_path, name, expected):
    path, table = tmp_path / name, pd.DataFrame(ROWS)
    if name.endswith(".csv"):
        table.to_csv(path, index=False)
    elif name.endswith(".parquet"):
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=".jsonl" in name)
    assert taken(path) == expected
    assert taken(path, budget=2) == expected[:2]
    assert taken(path, order="file") == "eac"
    assert taken(path, order="-score") == "aec"


def test_lists_without_columns(tmp_path):
    (tmp_path / "x.txt").write_text("d\n\nb\n")
    (tmp_path / "x.json").write_text('["d", "b"]')
    (tmp_path / "selection.json").write_text('{"ids": ["d", "b"], "scores": [1, 2], "features": []}')
    (tmp_path / "unscored.json").write_text('{"ids": ["d", "b"], "scores": null}')
    assert taken(tmp_path / "x.txt") == taken(tmp_path / "x.json") == taken(tmp_path / "unscored.json") == "db"
    assert taken(tmp_path / "selection.json") == "bd"
    (tmp_path / "numbers.json").write_text("[3, 1]")
    assert taken(tmp_path / "numbers.json", match="rows") == "db"


def test_arrays(tmp_path):
    for name, array in (
        ("rows", np.array([5, 0])),
        ("scores", np.array([0.0, 5.0, np.nan, 5.0, 7.0, 1.0])),
        ("mark", np.array([False, True, False, False, False, True])),
        ("ids", np.array(["f", "c"])),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    assert taken(tmp_path / "rows.npy") == "fa"
    assert taken(tmp_path / "scores.npy") == "ebdfac"  # ties in the pool's order, what has no score last
    assert taken(tmp_path / "mark.npy") == "bf"
    assert taken(tmp_path / "ids.npy") == "fc"


def test_texts_in_two_forms_whatever_the_whitespace(tmp_path):
    alpaca = [
        {"instruction": "Say hi", "input": "", "output": " hi there\n"},
        {"instruction": "Name it", "input": "No input.", "output": "red"},
        {"instruction": "Say hi", "input": "loud", "output": "hi there"},
    ]
    (tmp_path / "alpaca.json").write_text(json.dumps(alpaca))
    assert taken(tmp_path / "alpaca.json") == "bd"
    turns = ["Be short", "Hi", "Hello", "Again", "yes"]
    roles = ["system", "user", "assistant", "user", "assistant"]
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns)]
    (tmp_path / "chat.jsonl").write_text(json.dumps({"messages": messages}))
    assert taken(tmp_path / "chat.jsonl") == "f"


def test_prompts_leave_rewritten_responses_out_of_the_comparison(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps({"instruction": "Add 1 and 1", "output": "The answer is two."}))
    assert taken(tmp_path / "x.jsonl", match="prompts") == "a"
    with pytest.raises(UserError, match="none of its 1 row names an example of pool 'six', compared by texts"):
        taken(tmp_path / "x.jsonl")


def test_rows_of_one_text_take_the_examples_in_turn_and_what_is_left_is_reported(tmp_path):
    rows = [{"instruction": "Same", "output": "twice"}] * 3 + [{"instruction": "Add 1 and 1", "output": "2"}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert taken(tmp_path / "x.jsonl") == "cea"
    said = FromFile(str(tmp_path / "x.jsonl")).check_examples(POOL)
    assert "1 of its 4 rows name no example of pool 'six' and are passed over: line 3 ('Same')." in said[0]
    assert "3 rows fit several examples" in said[1]


def test_a_part_of_a_pool_is_matched_as_its_whole(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([5, 0, 4]))
    part = POOL.part([5, 4, 1])
    method = FromFile(str(tmp_path / "rows.npy"))
    assert method.select(part, Budget.of(part, 3), Context(part)).ids == ("f", "e")
    assert part.part([1]).whole is POOL


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ('[{"id": "a", "instruction": "x", "output": "y"}]', {}, "by ids and by texts: say which counts"),
        ('[{"name": "a"}]', {}, "neither a column id or row nor the columns of texts"),
        ('[{"name": "a"}]', {"column": "nam"}, "no such column. Found: name"),
        ('[{"id": "a", "score": "high"}]', {}, "'high' in column score is no number"),
        ('[{"id": "a"}]', {"order": "score"}, "order=score"),
        ('[{"id": "a"}]', {"match": "texts"}, "no columns of texts"),
        ('[{"id": "a"}, {"id": "a"}]', {}, "names the id 'a' more than once"),
        ('[{"row": 1.5}]', {}, "1.5 is no row number"),
        ('["a", {"id": "b"}]', {}, "is no mapping of columns"),
        ('["a"]', {"order": "score"}, "none, it is a plain list"),
        ("[]", {}, "is empty"),
        ("[", {}, "not valid JSON"),
        ('["x"]', {}, "none of its 1 row names an example of pool 'six', compared by ids: row 1 ('x')"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, content, options, says):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError) as error:
        taken(tmp_path / "x.json", **options)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_arrays_that_fit_no_pool(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([0.5, 1.0]))
    with pytest.raises(UserError, match="has 2 scores, and pool 'six' has 6 examples: one for each"):
        taken(tmp_path / "scores.npy")
    np.save(tmp_path / "table.npy", np.zeros((2, 2)))
    with pytest.raises(UserError, match="one dimension"):
        taken(tmp_path / "table.npy")
    (tmp_path / "odd.npy").write_text("no array")
    with pytest.raises(UserError, match="cannot be read"):
        taken(tmp_path / "odd.npy")
    with pytest.raises(UserError, match="extension that is not read"):
        (tmp_path / "x.xlsx").write_text("")
        taken(tmp_path / "x.xlsx")


def test_an_empty_id_is_a_row_that_was_matched_to_nothing(tmp_path):
    (tmp_path / "x.json").write_text('[{"alpaca_id": null}, {"alpaca_id": "b"}]')
    assert taken(tmp_path / "x.json", column="alpaca_id") == "b"


def test_another_pool_is_not_applicable(tmp_path):
    (tmp_path / "x.txt").write_text("a\n")
    other = Pool([Example("z", "x", "y")])
    with pytest.raises(NotApplicable):
        FromFile(str(tmp_path / "x.txt")).select(other, Budget.of(other, 1), Context(other))


PUBLISHED = [  # file, options, rows, of them found in the pool by their texts as listed there
    ("alpagasus_claude_t45", {}, 5305, 5289),
    ("alpagasus_random_9k", {}, 9229, 9199),
    ("longest_1k", {}, 1000, 989),
    ("longest_1k", {"column": "alpaca_id"}, 1000, 1000),
    ("refined_longest_1k", {"match": "prompts"}, 1000, 1000),
    ("alpagasus_top_1k", {"order": "alpagasus_score"}, 1000, 1000),
]


@pytest.fixture(scope="module")
def alpaca() -> Pool:
    from selbench.data.pools import FilePool

    path = DATA / "instruction" / "alpaca_52k.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"the published subsets are not here: {path} is missing")
    return FilePool(name="alpaca_52k", path=str(path), drop_invalid=True).load().pool


@pytest.mark.parametrize(("name", "options", "rows", "found"), PUBLISHED, ids=str)
def test_published_subsets_of_alpaca(alpaca, name, options, rows, found):
    method = FromFile(str(DATA / "selections" / f"{name}.jsonl.gz"), **options)
    method.check()
    said = method.check_examples(alpaca)
    selection = method.select(alpaca, Budget.of(alpaca, 1.0), Context(alpaca))
    assert len(set(selection.ids)) == len(selection.ids) == found
    assert (f"{rows - found} of its {rows:,} rows" in " ".join(said)) == (found < rows)
    if name == "alpagasus_top_1k":
        scores = [row["alpagasus_score"] for row in method._listing.rows]
        assert selection.ids[0] == str(method._listing.rows[int(np.argmax(scores))]["alpaca_id"])
