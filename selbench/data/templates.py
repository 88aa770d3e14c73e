"""The templates that prompts are written in: named ones, and those of a file."""

from __future__ import annotations

import json
import re
from datetime import date
from functools import lru_cache
from pathlib import Path

from selbench.data.chat import ALPACA_TEMPLATE
from selbench.data.tokenizer_file import compiled_template
from selbench.errors import UserError
from selbench.hashing import file_hash

# Prompt and response, a line each, and the end token: for models so small that a preamble takes most of what they can read.
# One line break and not two, because many tokenizers join two at the end of a prompt and not before a response.
PLAIN_TEMPLATE = """{{- bos_token or '' -}}
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}{{ message.content + (eos_token or '') + ('' if loop.last else '\\n') }}
{%- else -%}{{ message.content + '\\n' }}
{%- endif -%}
{%- endfor -%}"""

NAMED = {"alpaca": ALPACA_TEMPLATE, "plain": PLAIN_TEMPLATE}
OF_TOKENIZER = ("auto", "chat")
# What a template is tried with.
PROMPT, RESPONSE = "What is asked for?", "This is answered."


def template_text(name: str, model: str) -> str | None:
    """The text of a template by its name or its file; None for one that the tokenizer of the `model` brings itself.

    Raises UserError for an unknown name, and for a file that is missing or no chat template.
    """
    if name in OF_TOKENIZER:
        return None
    if name in NAMED:
        return NAMED[name]
    path = template_file(name)
    if path is None:
        raise UserError(
            f"model '{model}': unknown template '{name}'. Valid: auto, chat, alpaca, plain, or a file "
            "(model.template=/path/to/template.jinja)."
        )
    if not path.is_file():
        raise UserError(
            f"model '{model}': the template {path} does not exist (set by model.template or scorer.template)."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"model '{model}': the template {path} cannot be read: {error}") from error
    if wrong := _what_is_wrong(text):
        raise UserError(f"model '{model}': the template {path} {wrong}")
    return text


# The function of transformers' templates that gives today's date, with its format.
TODAY = re.compile(r"""strftime_now\(\s*("[^"]*"|'[^']*')\s*\)""")


def day_of_template(said: str, model: str) -> date:
    """The day that `template_date` says. Raises UserError for anything but YYYY-MM-DD."""
    try:
        return date.fromisoformat(said)
    except (TypeError, ValueError):
        raise UserError(f"model '{model}': template_date={said} is no day; write it as 2024-07-26.") from None


def with_fixed_date(text: str, day: date, model: str) -> str:
    """A chat template in which it is that day, whenever it is used, and whoever uses it.

    Raises UserError for a template whose format of the date is no literal.
    """
    fixed = TODAY.sub(lambda found: json.dumps(day.strftime(found[1][1:-1]), ensure_ascii=False), text)
    if "strftime_now(" in fixed:
        raise UserError(
            f"model '{model}': its chat template writes today's date in a way that cannot be fixed, so that its prompts would "
            "change from day to day; use model.template=plain, alpaca or a template file."
        )
    return fixed


def template_file(name: str) -> Path | None:
    """The file that a template's name stands for; None for a word."""
    path = Path(name).expanduser()
    return path if path.suffix or len(path.parts) > 1 else None


def template_identity(name: str, model: str) -> str:
    """What a template is known by in keys: its name, or the content of its file. Raises UserError as `template_text` does."""
    path = template_file(name) if template_text(name, model) and name not in NAMED else None
    return f"file {file_hash(path)}" if path else name


@lru_cache(maxsize=64)
def _what_is_wrong(text: str) -> str:
    """Why a text cannot be a chat template that tells responses from prompts; empty for one that can."""
    asked = {"role": "user", "content": PROMPT, "instruction": PROMPT, "input": ""}
    answered = {"role": "assistant", "content": RESPONSE}
    try:
        template = compiled_template(text)
        before = template.render(messages=[asked], add_generation_prompt=True, bos_token="", eos_token="")
        whole = template.render(messages=[asked, answered], add_generation_prompt=False, bos_token="", eos_token="")
    except Exception as error:  # anybody's template may raise anything
        return f"is no chat template: {type(error).__name__}: {' '.join(str(error).split())}"
    if PROMPT not in before or RESPONSE not in whole:
        return "leaves out what is asked or answered: it has to write the content of every message."
    if not whole.startswith(before):
        return (
            "cannot be trained with: a conversation has to begin with the text that asks for its answer (the messages before "
            "it, with add_generation_prompt)."
        )
    return ""
