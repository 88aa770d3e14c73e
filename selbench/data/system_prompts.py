"""What becomes of system prompts, which not every chat template knows."""

from __future__ import annotations

import dataclasses

from selbench.api import Example


def with_system(example: Example, how: str) -> Example:
    """The example with its system prompt kept (keep), left out (drop) or put before its first user turn (into_user)."""
    if how == "keep" or not example.system:
        return example
    if how == "drop":
        return dataclasses.replace(example, system="")
    if example.history:
        (user, assistant), *rest = example.history
        return dataclasses.replace(example, system="", history=((f"{example.system}\n\n{user}", assistant), *rest))
    return dataclasses.replace(example, system="", instruction=f"{example.system}\n\n{example.instruction}")
