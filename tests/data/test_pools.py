"""Reading pools: every form, every file type, stable ids, and every way in which data can be bad."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from selbench.api import Example
from selbench.data import hub
from selbench.data.pools import FilePool, file_labels
from selbench.errors import UserError

ALPACA = [
    {"instruction": "Add.", "input": "1 2", "output": "3"},
    {"instruction": "Greet.", "input": "", "output": "Hello é\u2028!"},
    {"instruction": "Name a colour.", "input": "<noinput>", "output": "Red"},
]
DIALOGUE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Ciao"},
]


def write(path: Path, rows: list[Any]) -> str:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def load(tmp_path: Path, rows: list[Any], **options: Any) -> list[Example]:
    return list(FilePool(name="p", path=write(tmp_path / "rows.jsonl", rows), **options).load().pool)


def refusal(pool: FilePool) -> str:
    with pytest.raises(UserError) as caught:
        pool.load()
    return str(caught.value)


# ------------------------------------------------------------------------------------------- files


def _parquet(path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.Table.from_pylist(ALPACA), path)


def _csv(path: Path) -> None:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ALPACA[0].keys())
        writer.writeheader()
        writer.writerows(ALPACA)


WRITERS = {
    "a.jsonl": lambda path: write(path, ALPACA),
    "a.jsonl.gz": lambda path: write(path, ALPACA),
    "a.json": lambda path: path.write_text(json.dumps(ALPACA, indent=1)),
    "data.json": lambda path: path.write_text(json.dumps({"data": ALPACA})),
    "lines.json": lambda path: write(path, ALPACA),
    "a.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ALPACA).encode())),
    "a.csv": _csv,
    "a.csv.gz": _csv,
    "a.parquet": _parquet,
    "bom.jsonl": lambda path: path.write_text("".join(json.dumps(r) + "\n" for r in ALPACA), encoding="utf-8-sig"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_type_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    loaded = FilePool(name="p", path=str(tmp_path / name)).load()
    said = [(e.instruction, e.input, e.response) for e in loaded.pool]
    assert said == [("Add.", "1 2", "3"), ("Greet.", "", "Hello é\u2028!"), ("Name a colour.", "", "Red")]
    assert loaded.labels == {}
    assert loaded.pool.name == "p"


def test_long_cells_and_line_numbers_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\na,"two\nlines"\nb,' + "x" * 200_000 + "\nc,\nd,e,f\n")
    message = refusal(FilePool(path=str(path)))
    assert "line 5: response is empty" in message
    assert "line 6: the row is of type list, not a mapping of columns" in message
    assert len(FilePool(path=str(path), drop_invalid=True).load().pool[1].response) == 200_000


# ------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "a", "completion": "b"}, Example("", "a", "b")),
        ({"prompt": "a", "response": "b"}, Example("", "a", "b")),
        ({"question": "a", "answer": "b"}, Example("", "a", "b")),
        (
            {"instruction": "a", "context": "c", "response": "b", "category": "qa"},
            Example("", "a", "b", input="c", category="qa"),
        ),
        (
            {"instruction": "a", "input": "", "output": "b", "system": "s", "history": [["u", "v"]], "source": "x"},
            Example("", "a", "b", system="s", history=(("u", "v"),), source="x"),
        ),
        ({"instruction": "a", "instances": [{"input": "i", "output": "b"}]}, Example("", "a", "b", input="i")),
        ({"messages": DIALOGUE}, Example("", "Bye", "Ciao", system="Be brief.", history=(("Hi", "Hello"),))),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "s"},
            Example("", "a", "b", system="s"),
        ),
        ({"conversations": ["a", "b"], "source": "stackexchange"}, Example("", "a", "b", source="stackexchange")),
        ({"instruction": "a", "input": None, "output": "b", "category": None}, Example("", "a", "b")),
    ],
)
def test_every_form(tmp_path: Path, row: dict[str, Any], expected: Example) -> None:
    (read,) = load(tmp_path, [row])
    assert Example(**{**vars(read), "id": ""}) == expected


def test_form_and_columns_can_be_named(tmp_path: Path) -> None:
    rows = [{"messages": DIALOGUE, "q": "a", "best": "b", "prompt": "p", "response": "r", "set": 7}]
    assert load(tmp_path, rows)[0].response == "Ciao"
    assert load(tmp_path, rows, form="prompt_completion")[0].response == "r"
    named = load(tmp_path, rows, columns={"instruction": "q", "response": "best", "source": "set"})
    assert (named[0].instruction, named[0].response, named[0].source) == ("a", "b", "7")


def test_a_last_user_turn_without_answer_is_cut_off_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "selbench.data"):
        (read,) = load(tmp_path, [{"messages": [*DIALOGUE, {"role": "user", "content": "More?"}]}])
    assert read.response == "Ciao"
    assert caplog.messages == ["pool 'p': in 1 rows a last user turn without an answer was cut off"]


# --------------------------------------------------------------------------------------------- ids


def test_ids_come_from_the_data_or_from_the_content(tmp_path: Path) -> None:
    given = [{"id": number, **row} for number, row in enumerate(ALPACA)]
    assert [e.id for e in load(tmp_path, given)] == ["0", "1", "2"]
    hashed = load(tmp_path, given, columns={"id": None})
    assert [e.id for e in hashed] == [e.content_hash[:16] for e in hashed]
    assert [e.id for e in load(tmp_path, [{"id": None, **ALPACA[0]}])] == [hashed[0].id]


def test_content_ids_survive_reordering_and_count_duplicates(tmp_path: Path) -> None:
    before = load(tmp_path, ALPACA)
    after = load(tmp_path, [ALPACA[2], {"instruction": "New.", "output": "x"}, ALPACA[0], ALPACA[2], ALPACA[2]])
    assert [after[0].id, after[2].id] == [before[2].id, before[0].id]
    assert [after[3].id, after[4].id] == [f"{before[2].id}-2", f"{before[2].id}-3"]


def test_limit_reads_the_first_rows_only(tmp_path: Path) -> None:
    assert len(load(tmp_path, [*ALPACA, "not a row"], limit=3)) == 3
    assert "pool.limit=0" in refusal(FilePool(path="x", limit=0))


# ------------------------------------------------------------------------------------------ errors


def test_nothing_to_read_from() -> None:
    assert refusal(FilePool(name="p")) == (
        "pool 'p': nothing to read from: set pool.path=/path/to/file or pool.hub=owner/name."
    )


def test_missing_file_and_folder(tmp_path: Path) -> None:
    message = refusal(FilePool(path=str(tmp_path / "no.jsonl")))
    assert f"{tmp_path}/no.jsonl does not exist (set by pool.path" in message
    assert "SELBENCH_DATA" in message
    assert f"{tmp_path} is a folder, not a file" in refusal(FilePool(path=str(tmp_path)))


@pytest.mark.parametrize("name", ["a.txt", "a", "a.parquet.gz", "a.gz"])
def test_unknown_extension(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    message = refusal(FilePool(path=str(tmp_path / name)))
    assert "Valid: .json, .jsonl, .csv, .parquet, .json.gz, .jsonl.gz, .csv.gz." in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', "a.jsonl:3: not valid JSON: Expecting value (column 7)."),
        ("a.json", b'[{"a": 1},\n {"a" 2}]', "a.json:2: not valid JSON: Expecting ':' delimiter (column 7)."),
        ("a.json", b"3", 'a.json holds neither a list of rows nor {"data": [rows]}.'),
        ("a.jsonl", b'{"a": "\xff"}\n', "a.jsonl is not UTF-8 text"),
        ("a.jsonl.gz", b"plain", "a.jsonl.gz cannot be read (damaged or incomplete?)"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 999)[:-9], "a.jsonl.gz cannot be read (damaged or incomplete?)"),
        ("a.parquet", b"PAR0", "a.parquet is not a Parquet file"),
        ("a.jsonl", b"", "there are no rows: nothing to select from."),
        ("a.json", b"", "there are no rows: nothing to select from."),
        ("a.csv", b"instruction,output\n", "there are no rows: nothing to select from."),
        ("a.json", b"[]", "there are no rows: nothing to select from."),
    ],
)
def test_undecodable_and_empty_files(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert expected in refusal(FilePool(path=str(tmp_path / name)))


def test_columns_of_no_form(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "x", "score": 1}, {"url": "y"}])
    message = refusal(FilePool(path=path))
    assert "the columns match no form. Found: score, text, url." in message
    assert "messages: messages or conversations or conversation; alpaca: instruction + output" in message
    assert "prompt_completion: prompt + completion" in message
    assert "+pool.columns.instruction=question" in message
    assert "match not the form 'alpaca'" in refusal(FilePool(path=path, form="alpaca"))
    unknown_form = refusal(FilePool(path=path, form="alpacca"))
    assert "unknown pool.form 'alpacca'. Did you mean 'alpaca'? Valid: alpaca, auto, messages" in unknown_form
    assert "unknown word in pool.columns 'respons'" in refusal(FilePool(path=path, columns={"respons": "text"}))
    missing = refusal(FilePool(path=path, columns={"response": "txt"}))
    assert "pool.columns.response=txt: there is no such column. Found: score, text, url." in missing


def test_an_id_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"id": "x", **ALPACA[0]}, {"id": "y", **ALPACA[1]}, {"id": "x", **ALPACA[2]}])
    message = refusal(FilePool(path=path))
    assert "the id 'x' is given to line 1 and to line 3" in message
    assert "+pool.columns.id=null" in message
    assert len(FilePool(path=path, columns={"id": None}).load().pool) == 3


BAD = [
    ({"instruction": "a", "output": " \n"}, "response is empty"),
    ({"instruction": "a"}, "response is empty"),
    ({"instruction": "", "output": "b"}, "instruction is empty"),
    ({"instruction": "a", "output": 3}, "response is of type int, not text"),
    ({"instruction": "a", "input": ["x"], "output": "b"}, "input is of type list, not text"),
    ({"instruction": "a", "output": "b", "history": [["x"]]}, "history is not a list of [user, assistant] pairs"),
    ("text", "the row is of type str, not a mapping of columns"),
]


@pytest.mark.parametrize(("row", "reason"), BAD)
def test_bad_rows_are_named_and_dropped_when_asked(
    tmp_path: Path, row: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.jsonl", [ALPACA[0], row, ALPACA[1]])
    message = refusal(FilePool(name="p", path=path))
    assert message.startswith("pool 'p': 1 of 3 rows are empty or malformed:")
    assert f"line 2: {reason}" in message
    assert "pool.drop_invalid=true" in message
    assert len(FilePool(name="p", path=path, drop_invalid=True).load().pool) == 2
    assert caplog.messages == [f"pool 'p': 1 of 3 rows dropped as invalid, first line 2: {reason}"]


USER, ASSISTANT = DIALOGUE[1], DIALOGUE[2]
ODD = [
    ([USER], "no assistant turn"),
    ([], "no assistant turn"),
    ([ASSISTANT, USER], "turn 1 is by the assistant where the user's was due"),
    ([USER, ASSISTANT, ASSISTANT], "turn 3 is by the assistant where the user's was due"),
    ([USER, DIALOGUE[0], ASSISTANT], "turn 2 is by the system where the assistant's was due"),
    ([USER, {"role": "tool", "content": "x"}], "turn 2 has the role 'tool', not one of system"),
    ([USER, {"role": ["tool"], "content": "x"}], "turn 2 has the role '['tool']', not one of system"),
    ([USER, {"role": "assistant", "content": ""}], "turn 2 (assistant) is empty"),
    ([USER, {"role": "assistant", "content": [{"type": "text"}]}], "turn 2 (assistant) is of type list, not text"),
    ([USER, {"role": "assistant"}], "turn 2 has neither role and content nor from and value"),
    (None, "messages is of type NoneType, not a list of turns"),
]


@pytest.mark.parametrize(("turns", "reason"), ODD)
def test_odd_conversations_are_bad_rows(tmp_path: Path, turns: Any, reason: str) -> None:
    path = write(tmp_path / "a.jsonl", [{"messages": DIALOGUE}, {"messages": turns}])
    assert f"line 2: {reason}" in refusal(FilePool(path=path))


def test_only_the_first_ten_bad_rows_are_spelled_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*ALPACA, *[{"instruction": "a", "output": ""}] * 12])
    message = refusal(FilePool(path=path))
    assert "12 of 15 rows" in message
    assert "line 13: response is empty\n  and 2 more" in message


def test_nothing_left_is_refused_even_when_dropping(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"instruction": "a", "output": ""}])
    message = refusal(FilePool(path=path, drop_invalid=True))
    assert message == "pool 'pool': 1 of 1 rows are empty or malformed:\n  line 1: response is empty"


# --------------------------------------------------------------------------------------------- hub


@pytest.mark.parametrize("hub_file", [None, "train.jsonl"])
def test_no_network_ends_soon_in_one_sentence(monkeypatch: pytest.MonkeyPatch, hub_file: str | None) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    start = time.monotonic()
    message = refusal(FilePool(name="p", hub="selbench-tests/not-a-data-set", hub_file=hub_file))
    assert time.monotonic() - start < 10  # importing datasets; the retries alone would take 23 s
    assert message == (
        f"pool 'p': 'selbench-tests/not-a-data-set'{' (train.jsonl)' if hub_file else ''} could not be loaded from the "
        f"Hugging Face hub or its local cache: the hub (https://huggingface.co) cannot be reached from here; "
        f"point at a local copy with pool.path=/path/to/file."
    )


def test_offline_mode_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not hub.reachable()
    with hub.cache_only_if_unreachable() as online:
        assert not online
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()


def test_a_folder_of_shards_is_read_as_a_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    (tmp_path / "shards").mkdir()
    for part in range(2):
        write(tmp_path / "shards" / f"train-{part}.jsonl", [{"messages": DIALOGUE[: 2 * part + 3]}])
    pool = FilePool(hub=str(tmp_path / "shards")).load().pool
    assert [example.response for example in pool] == ["Hello", "Ciao"]


# --------------------------------------------------------------------------------------- real data


def test_alpaca(shared_data: Path) -> None:
    path = str(shared_data / "instruction" / "alpaca_52k.jsonl.gz")
    assert "49 of 52002 rows are empty or malformed:\n  line 285: response is empty" in refusal(FilePool(path=path))
    pool = FilePool(path=path, drop_invalid=True).load().pool
    assert len(pool) == 52_002 - 49
    assert pool[0].id == "0"
    assert pool[0].instruction == "Give three tips for staying healthy."


@pytest.mark.parametrize(
    ("name", "size"), [("lima_1k", 1029), ("gpteacher_roleplay", 3146), ("self_instruct_seed_tasks", 175)]
)
def test_other_real_pools_have_no_bad_row(shared_data: Path, name: str, size: int) -> None:
    assert len(FilePool(path=str(shared_data / "instruction" / f"{name}.jsonl.gz")).load().pool) == size


# ------------------------------------------------------------------------------------------- several files


def several(tmp_path: Path, **files: list[Any]) -> list[str]:
    """Paths of files of rows: `a__b` is the file b.jsonl in the folder a."""
    paths = [tmp_path / f"{name.replace('__', '/')}.jsonl" for name in files]
    for path, rows in zip(paths, files.values()):
        path.parent.mkdir(exist_ok=True)
        write(path, rows)
    return [str(path) for path in paths]


def row(text: str, **more: object) -> dict[str, object]:
    return {"instruction": text, "output": text.upper(), **more}


def test_several_files_are_one_pool_and_name_the_source(tmp_path):
    paths = several(tmp_path, one=[row("a"), row("b", source="own")], two=[{"prompt": "c", "completion": "C"}])
    pool = FilePool(path=paths).load().pool
    assert [example.response for example in pool] == ["A", "B", "C"]  # each file in a form of its own
    assert [example.source for example in pool] == ["one", "own", "two"]


@pytest.mark.parametrize("wrapped", [lambda path: path, lambda path: [path], Path])
def test_one_file_is_the_same_pool_however_it_is_named(tmp_path, wrapped):
    (path,) = several(tmp_path, one=[row("a"), row("b")])
    pool = FilePool(path=wrapped(path)).load().pool
    assert [example.source for example in pool] == ["", ""]
    assert (
        pool.fingerprint == "dac710f9d62abd9709a72f66ac51b8614ba0026261d27a9ec31c1828a19284eb"
    )  # as when one file was all


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["x/train.jsonl", "y/train.jsonl.gz"], ["x/train", "y/train"]),
        (["x/a/train.csv", "y/a/train.csv", "y/b/test.csv"], ["x/a/train", "y/a/train", "test"]),
        (["x/rows.json", "x/rows.jsonl"], ["rows.json", "rows.jsonl"]),
        (["rows.v1.jsonl", "rows.v2.jsonl.gz"], ["rows.v1", "rows.v2"]),
    ],
)
def test_sources_are_distinct(paths, labels):
    assert file_labels(paths) == labels


def test_ids_over_several_files_are_distinct_and_stay(tmp_path):
    paths = several(tmp_path, one=[row("a"), row("b")], two=[row("b"), row("c")])
    pool = FilePool(path=paths).load().pool
    assert len(set(pool.ids)) == 4 and pool.ids[2] == f"{pool.ids[1]}-2"
    # what an example is called does not depend on the files beside its own
    assert FilePool(path=paths[0]).load().pool.ids == pool.ids[:2]
    assert pool.ids[3] in FilePool(path=paths[1]).load().pool.ids


def test_an_id_given_in_two_files_names_both_places(tmp_path):
    one, two = several(tmp_path, one=[row("a", id=1)], two=[row("b", id=0), row("c", id=1)])
    message = refusal(FilePool(path=[one, two]))
    assert f"the id '1' is given to {one} line 1 and to {two} line 2" in message
    assert len(FilePool(path=[one, two], columns={"id": None}).load().pool) == 3


def test_a_mistake_in_one_of_several_files_names_it(tmp_path):
    one, two, none = several(tmp_path, one=[row("a")], two=[row("b"), row("")], none=[])
    assert f"{two} line 2: " in refusal(FilePool(path=[one, two]))
    assert len(FilePool(path=[one, two], drop_invalid=True).load().pool) == 2
    assert f"{none}: there are no rows" in refusal(FilePool(path=[one, none]))
    other = several(tmp_path, other=[{"question": "a"}])[0]
    assert f"{other}: the columns match no form" in refusal(FilePool(path=[one, other]))
    assert "no.jsonl does not exist" in refusal(FilePool(path=[one, str(tmp_path / "no.jsonl")]))
    assert f"names {one} more than once" in refusal(FilePool(path=[one, f"{tmp_path}/../{tmp_path.name}/one.jsonl"]))
    assert "is no file" in refusal(FilePool(path=[one, None]))
    assert "nothing to read from" in refusal(FilePool(path=[]))


def test_a_limit_counts_over_all_files(tmp_path):
    paths = several(tmp_path, one=[row("a"), row("b")], two=[row("c"), row("d")], none=[])
    assert [example.response for example in FilePool(path=paths, limit=3).load().pool] == ["A", "B", "C"]
    assert len(FilePool(path=paths, limit=2).load().pool) == 2


def test_a_missing_file_does_not_win_over_the_hub(tmp_path, caplog):
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "train.jsonl").write_text(json.dumps({"instruction": "from the hub", "output": "yes"}) + "\n")
    path = tmp_path / "mine.jsonl"
    (example,) = FilePool(path=str(path), hub=str(hub)).load().pool
    assert example.instruction == "from the hub"
    assert f"{path} does not exist; {hub} is read from the hub instead" in caplog.text

    path.write_text(json.dumps({"instruction": "from the file", "output": "yes"}) + "\n")
    (example,) = FilePool(path=str(path), hub=str(hub)).load().pool
    assert example.instruction == "from the file"
    path.unlink()
    with pytest.raises(UserError, match="does not exist"):
        FilePool(path=str(path)).load()


def test_a_column_inside_of_another(tmp_path: Path) -> None:
    """As in SQuAD and TyDi QA, whose answers are lists inside of a mapping."""
    rows = [
        {"question": "Which?", "context": "It is Oslo.", "answers": {"text": ["Oslo", "oslo"], "answer_start": [6]}},
        {"question": "Who?", "context": "Ann.", "answers": {"text": ["Ann"], "answer_start": [0]}},
    ]
    columns = {"instruction": "question", "input": "context", "response": "answers.text"}
    pool = load(tmp_path, rows, columns=columns)
    assert [(one.instruction, one.input, one.response) for one in pool] == [
        ("Which?", "It is Oslo.", "Oslo"),
        ("Who?", "Ann.", "Ann"),
    ]
    dotted = [{"question": "Which?", "answers.text": "as it is named", "answers": {"text": ["another"]}}]
    named = load(tmp_path, dotted, columns={"instruction": "question", "response": "answers.text"})
    assert named[0].response == "as it is named"


@pytest.mark.parametrize("answers", [{"text": []}, {"words": ["Oslo"]}, "Oslo", None, {"text": [1]}], ids=str)
def test_a_row_without_the_inner_column_is_reported(tmp_path: Path, answers: object) -> None:
    path = tmp_path / "pool.jsonl"
    rows = [{"question": "Which?", "answers": {"text": ["Oslo"]}}, {"question": "Who?", "answers": answers}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"instruction": "question", "response": "answers.text"}
    assert "line 2: response is" in refusal(FilePool(path=str(path), columns=columns))
    left = FilePool(path=str(path), columns=columns, drop_invalid=True).load().pool
    assert [one.response for one in left] == ["Oslo"]
    missing = refusal(FilePool(path=str(path), columns={"instruction": "question", "response": "answer.text"}))
    assert "pool.columns.response=answer.text: there is no such column" in missing
