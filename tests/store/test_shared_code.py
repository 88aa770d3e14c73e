"""What all plugins share (api, libraries, seeds) is in no key, but for FORMAT: it must not change unseen."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap

import pytest

from selbench import api, libraries
from selbench.store import keys

# Part of the shared code -> FORMAT and the hash of its lines, as of when somebody last looked. If one fails: does the
# change alter what is selected, trained or scored? Then raise FORMAT in store/keys.py, which makes every stage anew. In
# either case write the new pair here.
SEEN = {
    api.Example: (2, "5cede32d4cb2"),
    api.Pool: (2, "09a2a37c0ed5"),
    api.Budget: (2, "fa7bdc3efd71"),
    api.Selection: (2, "a3378b97951e"),
    api.Context: (2, "972f9598650f"),
    libraries.own_randomness: (2, "457f82b482e4"),
    keys.derive_seed: (2, "d702a67e0265"),
}


def lines_hash(thing: object) -> str:
    """Of the lines of code: without docstrings, comments, indentation and blank lines."""
    lines = textwrap.dedent(inspect.getsource(thing)).splitlines()  # type: ignore[arg-type]
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[number - 1] = ""
    kept = [text for line in lines if (text := line.partition("  # ")[0].strip()) and not text.startswith("#")]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:12]


@pytest.mark.parametrize("thing", SEEN, ids=lambda thing: thing.__name__)
def test_shared_code_does_not_change_unseen(thing):
    assert SEEN[thing] == (keys.FORMAT, lines_hash(thing)), (
        f"{thing.__module__}.{thing.__name__} has changed, and stages in people's stores do not know it. Does it change "
        f"what is selected, trained or scored? Then raise FORMAT. Now: {keys.FORMAT}, {lines_hash(thing)!r}"
    )


def _described(x):
    """Doc.

    With more lines.
    """
    # a reason
    return x + 1  # why


def test_the_hash_sees_code_and_not_words(monkeypatch):
    def of(text: str) -> str:
        monkeypatch.setattr(inspect, "getsource", lambda thing: text)
        return lines_hash(_described)

    told = lines_hash(_described)
    assert of("def _described(x):\n    return x + 1\n") == told
    assert of("def _described(x):\n    return x + 2\n") != told
