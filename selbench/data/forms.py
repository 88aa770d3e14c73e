"""Converts rows of instruction data into Examples: finds which columns hold what, and says why a row is malformed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from selbench.api import Example
from selbench.errors import UserError, unknown

# A form is recognised by its columns. Each pattern maps our word to the column; forms and their patterns are tried in this
# order. Messages come first because data in that form often repeats the first turn in a column `prompt`.
FORMS: dict[str, tuple[dict[str, str], ...]] = {
    "messages": ({"messages": "messages"}, {"messages": "conversations"}, {"messages": "conversation"}),
    "alpaca": (
        {"instruction": "instruction", "response": "output"},
        {"instruction": "instruction", "instances": "instances"},  # Self-Instruct: output (and input) one level down
    ),
    "prompt_completion": (
        {"instruction": "prompt", "response": "completion"},
        {"instruction": "prompt", "response": "response"},
        {"instruction": "question", "response": "answer"},
        {"instruction": "instruction", "response": "response"},
    ),
}
# Columns that are read if present: our word -> names in use, of which the first found counts.
OPTIONAL = {
    "id": ("id",),
    "input": ("input", "context"),
    "system": ("system",),
    "history": ("history",),
    "source": ("source",),
    "category": ("category",),
}
WORDS = ("instruction", "response", "messages", "instances", *OPTIONAL)

# The role names of common data sets -> ours.
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model"), "assistant"),
}
# The keys of a turn's role and text: transformers' and ShareGPT's.
SPEAKS = (("role", "content"), ("from", "value"))


class Malformed(ValueError):
    """A row that is not an example; the message is the reason."""


def resolve_columns(found: Iterable[str], form: str, renamed: Mapping[str, str | None]) -> dict[str, str]:
    """Our word -> the column that holds it.

    Args:
        found: the columns of the data.
        form: a key of FORMS, or "auto".
        renamed: our word -> the column, where it has another name than the form's; None leaves an optional column unread.
            "answers.text" is what the mapping in the column `answers` has under `text`.

    Raises UserError for an unknown form or word, a renamed column that does not exist, or columns of no form.
    """
    columns = set(found)
    if form != "auto" and form not in FORMS:
        raise UserError(unknown("pool.form", form, ("auto", *FORMS)))
    for word, column in renamed.items():
        if word not in WORDS:
            raise UserError(unknown("word in pool.columns", word, WORDS))
        if column is not None and not _is_column(column, columns):
            raise UserError(f"pool.columns.{word}={column}: there is no such column. Found: {_column_list(columns)}.")
    # A renamed column tells which form is meant: forms with that word are tried first.
    order = sorted(FORMS, key=lambda name: not any(word in renamed for word in FORMS[name][0]))
    for name in order if form == "auto" else [form]:
        for pattern in FORMS[name]:
            named = {word: renamed.get(word) or column for word, column in pattern.items()}
            if all(_is_column(column, columns) for column in named.values()):
                return {**_optional_columns(columns, renamed), **named}
    raise UserError(
        f"the columns match {'no form' if form == 'auto' else f'not the form {form!r}'}. Found: {_column_list(columns)}. "
        f"Expected: {expected_columns(form)}. Name the columns, for example "
        f"+pool.columns.instruction=question +pool.columns.response=best_answer."
    )


def expected_columns(form: str) -> str:
    """The columns by which the form (all forms for "auto") is recognised, for a message."""
    names = FORMS if form == "auto" else [form]
    return "; ".join(f"{name}: {' or '.join(' + '.join(p.values()) for p in FORMS[name])}" for name in names)


def _is_column(name: str, columns: set[str]) -> bool:
    """Whether data with these columns may have a cell of this name, or inside of one."""
    return name in columns or ("." in name and name.partition(".")[0] in columns)


def _column_list(columns: Iterable[str]) -> str:
    return ", ".join(sorted(columns)) or "(none)"


def _optional_columns(columns: set[str], renamed: Mapping[str, str | None]) -> dict[str, str]:
    chosen = {}
    for word, usual in OPTIONAL.items():
        candidates = (renamed[word],) if word in renamed else usual
        present = [column for column in candidates if column is not None and _is_column(column, columns)]
        if present:
            chosen[word] = str(present[0])
    return chosen


def example_of_row(row: Any, columns: Mapping[str, str], notes: Counter[str]) -> Example:
    """The example in a row; its id is "" if the data has none. `notes` counts the repairs by their description.

    `columns` is the result of `resolve_columns`. Raises Malformed, with the reason, for a row that is no example.
    """
    if not isinstance(row, Mapping):
        raise Malformed(f"the row is of type {type(row).__name__}, not a mapping of columns")
    cells = {word: _cell(row, column, word) for word, column in columns.items()}
    about = {word: str(cells[word]) for word in ("id", "source", "category") if cells.get(word) is not None}
    said = _conversation(cells, notes) if "messages" in columns else _single_turn(cells)
    return Example(**{"id": "", **about, **said})


def _cell(row: Mapping[str, Any], column: str, word: str) -> Any:
    """What a row has in a column; inside of a cell ("answers.text"), the first of several texts."""
    if column in row or "." not in column:
        return row.get(column)
    found: Any = row
    for part in column.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    texts = word in ("instruction", "response", "input", "system") and isinstance(found, (list, tuple))
    return found[0] if texts and found else found


def _single_turn(cells: dict[str, Any]) -> dict[str, Any]:
    """The fields of an Example, from cells with an instruction and a response, or with Self-Instruct's instances."""
    if "instances" in cells:
        instances = cells["instances"]
        if not isinstance(instances, list) or len(instances) != 1 or not isinstance(instances[0], Mapping):
            raise Malformed("instances is not a list of one mapping")
        cells = {**cells, "input": instances[0].get("input"), "response": instances[0].get("output")}
    return {
        "instruction": _checked_text(cells["instruction"], "instruction"),
        "response": _checked_text(cells["response"], "response"),
        "input": _input_text(cells),
        "system": _checked_text(cells.get("system"), "system", required=False),
        "history": tuple(_checked_pair(pair) for pair in cells.get("history") or ()),
    }


def _checked_text(value: Any, what: str, required: bool = True) -> str:
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{what} is of type {type(value).__name__}, not text")
    if required and not (value and value.strip()):
        raise Malformed(f"{what} is empty")
    return value or ""


def _input_text(cells: Mapping[str, Any]) -> str:
    value = _checked_text(cells.get("input"), "input", required=False)
    # "<noinput>" is how Alpaca's generated data says that there is no input.
    return "" if value.strip().lower() in ("", "<noinput>") else value


def _checked_pair(pair: Any) -> tuple[str, str]:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise Malformed("history is not a list of [user, assistant] pairs")
    return _checked_text(pair[0], "a user turn in history"), _checked_text(pair[1], "an assistant turn in history")


def _conversation(cells: Mapping[str, Any], notes: Counter[str]) -> dict[str, Any]:
    """The fields of an Example, from cells with a list of turns; earlier turns become its history."""
    turns = _role_turns(cells["messages"])
    system = _checked_text(cells.get("system"), "system", required=False)
    if turns and turns[0][0] == "system":
        system = _checked_text(turns.pop(0)[1], "the system turn", required=False)
    texts = []
    for number, (role, value) in enumerate(turns, 1):
        due = ("assistant", "user")[number % 2]
        if role != due:
            raise Malformed(f"turn {number} is by the {role} where the {due}'s was due")
        texts.append(_checked_text(value, f"turn {number} ({role})"))
    if len(texts) < 2:
        raise Malformed("no assistant turn")
    if len(texts) % 2:
        texts.pop()
        notes["a last user turn without an answer was cut off"] += 1
    *before, question, response = texts
    instruction, given = _split_question(question, cells.get("input"))
    pairs = tuple(zip(before[::2], before[1::2]))
    return {"system": system, "history": pairs, "instruction": instruction, "input": given, "response": response}


def _role_turns(value: Any) -> list[tuple[str, Any]]:
    """The role and text of every turn, from role/content, ShareGPT's from/value, or bare texts in turn (as in LIMA)."""
    if not isinstance(value, (list, tuple)):
        raise Malformed(f"messages is of type {type(value).__name__}, not a list of turns")
    turns = []
    for number, turn in enumerate(value, 1):
        if isinstance(turn, str):
            turn = {"role": ("assistant", "user")[number % 2], "content": turn}
        keys = [keys for keys in SPEAKS if isinstance(turn, Mapping) and turn.keys() >= set(keys)]
        if not keys:
            raise Malformed(f"turn {number} has neither role and content nor from and value")
        role, content = (turn[key] for key in keys[0])
        if str(role) not in ROLES:
            raise Malformed(f"turn {number} has the role '{role}', not one of {', '.join(ROLES)}")
        turns.append((ROLES[role], content))
    return turns


def _split_question(question: str, given: Any) -> tuple[str, str]:
    """Instruction and input, separated if a column `input` repeats the end of the question, as in our exports."""
    instruction = question.removesuffix(f"\n\n{given}")
    return (instruction, given) if given and instruction not in ("", question) else (question, "")
