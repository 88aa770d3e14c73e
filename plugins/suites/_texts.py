"""The words of lm-eval's items, without the task's template and worked examples: what the leak check searches for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from selbench_plugins.suites._scores import item_ids


def task_texts(task: Any, limit: int | None) -> dict[str, str]:
    """Item id (as in the scores) -> the item's words, for the items that are evaluated (at most `limit`)."""
    from lm_eval.utils import handle_non_serializable, hash_string

    docs = list(task.doc_iterator(limit=limit))
    samples = [
        {
            "doc_id": number,
            "doc": doc,
            "doc_hash": hash_string(json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)),
        }
        for number, doc in docs
    ]
    names = item_ids(samples)
    return {names[number]: own_words(task, doc) for number, doc in docs}


def own_words(task: Any, doc: Mapping[str, Any]) -> str:
    """The item's words: what its task names as the query for decontamination.

    A task that names none, or one that lm-eval cannot read (it takes what a template gives for a Python literal, which in
    its own ARC tasks is a question): the text fields of the item that its prompt shows, or the whole prompt if it shows none. An
    item whose question is in its choices (as in cloze tasks, where the prompt is the number of the answer): the first
    choice.
    """
    if task.should_decontaminate():
        with suppress(SyntaxError, ValueError):
            return str(task.doc_to_decontamination_query(doc))
    prompt = task.doc_to_text(doc)
    if not isinstance(prompt, str):  # the number of the answer
        choices = task.doc_to_choice(doc)
        return str(choices[0]) if choices else ""
    return shown_fields(doc, prompt) or prompt


def shown_fields(doc: Mapping[str, Any], prompt: str) -> str:
    """The text fields of the item that stand in the prompt, in the prompt's order, separated by empty lines.

    Longer fields are placed first, and a field is left out if its first occurrence lies inside one already placed. One of a
    single character is left out, too: as the label of an answer, which any prompt holds ("A" is in "Answer:").
    """
    spans: list[tuple[int, int]] = []
    for value in sorted((value.strip() for value in doc.values() if isinstance(value, str)), key=len, reverse=True):
        start = prompt.find(value) if len(value) > 1 else -1
        if start >= 0 and all(start + len(value) <= low or start >= high for low, high in spans):
            spans.append((start, start + len(value)))
    return "\n\n".join(prompt[low:high] for low, high in sorted(spans))
