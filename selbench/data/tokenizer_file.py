"""A tokenizer read from its files without transformers, which takes seconds to load: what a plan counts tokens with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

# The files that it is read from, in the folder of a model.
FILE, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"


class TokenizerFile:
    """A fast tokenizer with its chat template, as far as `data.chat.encode` uses one."""

    is_fast = True

    def __init__(
        self, tokenizer: Any, settings: dict[str, Any], chat_template: str | None, name_or_path: str = ""
    ) -> None:
        self.tokenizer, self.chat_template, self.name_or_path = tokenizer, chat_template, name_or_path
        special = {name: _content(settings.get(name)) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
        self.special = {name: text for name, text in special.items() if text is not None}

    @classmethod
    def read(cls, files: dict[str, Path]) -> TokenizerFile | None:
        """From the files at hand, by name; None where they do not suffice."""
        from tokenizers import Tokenizer

        try:
            settings = json.loads(files[SETTINGS].read_text()) if SETTINGS in files else {}
            template = files[TEMPLATE].read_text() if TEMPLATE in files else settings.get("chat_template")
            tokenizer = Tokenizer.from_file(str(files[FILE]))
        except Exception:  # tokenizers raises bare exceptions; loading the model will say what is wrong
            return None
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer, settings, template if isinstance(template, str) else None)

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, Any]:
        """Ids and character offsets of texts, without special tokens."""
        one = isinstance(texts, str)
        rows = self.tokenizer.encode_batch([texts] if one else list(texts), add_special_tokens=False)
        found = {"input_ids": [row.ids for row in rows], "offset_mapping": [row.offsets for row in rows]}
        return {name: values[0] for name, values in found.items()} if one else found

    def apply_chat_template(self, turns: list[dict[str, str]], *, add_generation_prompt: bool, **_: Any) -> str:
        """A conversation as text, as transformers renders it."""
        template = compiled_template(self.chat_template or "")
        return str(template.render(messages=turns, add_generation_prompt=add_generation_prompt, **self.special))


def _content(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


@lru_cache(maxsize=16)
def compiled_template(text: str) -> Any:
    """A chat template with the settings of transformers. Raises jinja2's TemplateError for one that is no template."""
    from jinja2.exceptions import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(text)
