"""Two tasks over local files: choices that are scored by their likelihood, and answers that are written."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.tiny_models import WORDS

ROWS = [
    {
        "id": f"q{i}",
        "question": f"which {WORDS[i]} is {WORDS[i + 3]}",
        "choices": WORDS[i + 1 : i + 5 : 2],
        "answer": i % 2,
    }
    for i in range(10)
]
TASKS = {
    "pick": """\
task: pick
dataset_path: json
test_split: test
dataset_kwargs: {data_files: {test: rows.jsonl}}
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: "{{choices}}"
target_delimiter: " "
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
    "write": """\
task: write
dataset_path: json
test_split: test
dataset_kwargs: {data_files: {test: rows.jsonl}}
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["green"], do_sample: false, temperature: 0.0, max_gen_toks: 3}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
filter_list: [{name: none, filter: [{function: take_first}]}]
""",
}


def write_tasks(folder: Path, rows: list[dict[str, object]] = ROWS) -> str:
    """The folder, with the task files `pick` and `write` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder)


def expect_answers(folder: Path, answers: list[str]) -> None:
    """Makes what a model writes the right answer of every other item, so that a score is neither 0 nor 1."""
    rows = [
        {**row, "choices": [answer, "none"] if i % 2 else row["choices"]}
        for i, (row, answer) in enumerate(zip(ROWS, answers))
    ]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
