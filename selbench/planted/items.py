"""Writes the test items of the planted suite: questions about held-out arguments, one JSONL file per skill.

python -m selbench.planted.items
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from selbench.planted.skills import TEST_ARGUMENTS, Skill, skills

TASKS = Path(__file__).parent / "tasks"


def held_out_items(skill: Skill) -> list[dict[str, str]]:
    """TEST_ARGUMENTS rows {id, question, answer} about different held-out arguments, worded as in a pool."""
    rng = Random(f"planted items {skill.name}")
    arguments = sorted(argument for argument in skill.domain if skill.held_out(argument))
    # A skill with a domain has all its arguments listed; those of the others are drawn.
    seen = set(arguments)
    while len(arguments) < TEST_ARGUMENTS:
        argument = skill.draw(rng)
        if skill.held_out(argument) and argument not in seen:
            seen.add(argument)
            arguments.append(argument)
    rows = []
    for number, argument in enumerate(arguments):
        question = "\n\n".join(part for part in skill.ask(argument, rng) if part)
        rows.append({"id": f"{skill.name}-{number:02d}", "question": question, "answer": skill.answer(argument)})
    return rows


def task_files() -> dict[str, str]:
    """The text of every generated file, by its path relative to the tasks folder."""
    files = {}
    for name, skill in skills().items():
        data = f"items/{name}.jsonl"
        files[data] = "".join(json.dumps(row) + "\n" for row in held_out_items(skill))
        files[f"planted_{name}.yaml"] = (
            f"include: _default.yaml\ntask: planted_{name}\ndataset_kwargs:\n  data_files:\n    test: {data}\n"
        )
    return files


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m selbench.planted.items", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=TASKS, help="the folder to write the tasks to (default: the package's own)"
    )
    folder = parser.parse_args().out
    for name, text in task_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    print(f"{folder}: {len(skills())} skills with {TEST_ARGUMENTS} items each")


if __name__ == "__main__":
    main()
