"""Chat templates as models on the hub bring them: what they refuse, move, leave out or date is an error or is fixed.

The templates are shortened to what matters here, with the words of the originals.
"""

from __future__ import annotations

import copy
import dataclasses
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from selbench.api import Example, ModelRef
from selbench.data.chat import END, PROMPT, RESPONSE, encode
from selbench.data.system_prompts import with_system
from selbench.errors import UserError
from selbench.models import fingerprint, light_tokenizer, load_tokenizer

LLAMA_3_2 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""

MISTRAL_NEMO = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]" + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- message["content"] + eos_token}}
    {%- endif %}
{%- endfor %}"""

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)

R1_DISTILL = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}"
    "{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<|User|>' + message['content']}}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{'<|Assistant|>' + content + '<|end_of_sentence|>'}}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt %}{{'<|Assistant|>'}}{% endif %}"
)

QWQ = """{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}"""

# Qwen 3 writes empty thoughts before the last answer only.
QWEN_3 = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == "assistant" and loop.last %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
    {{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

# Words that the tokenizer of planted-1m spells letter by letter where it does not know them.
ASKED = Example("asked", "what colour is the sky?", "blue.")
TOLD = dataclasses.replace(ASKED, id="told", system="be brief.")
TALK = Example("talk", "and now?", "red.", system="be brief.", history=(("what colour is the sky?", "blue."),))
THOUGHT = dataclasses.replace(ASKED, id="thought", response="<think>the sky</think>blue.")


def reference(text: str, folder: Path, **options: Any) -> ModelRef:
    """planted-1m with this template as its own."""
    import json
    import shutil

    source = Path(str(files("selbench") / "planted" / "models" / "planted-1m"))
    where = folder / "model"
    shutil.copytree(source, where, dirs_exist_ok=True)
    settings = where / "tokenizer_config.json"
    about = json.loads(settings.read_text())
    about.pop("chat_template", None)
    settings.write_text(json.dumps(about))
    (where / "chat_template.jinja").write_text(text)
    return ModelRef("mine", str(where), **{"template": "chat", "max_length": 512, **options})


@pytest.fixture(params=["transformers", "light"])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """`load(text)`: the tokenizer with that template, as a run and as a plan loads it."""
    reads = load_tokenizer if request.param == "transformers" else light_tokenizer
    return lambda text, **options: reads(reference(text, tmp_path, **options))


def said(tokenizer: Any, example: Example, role: int) -> list[str]:
    """The text of every span with this role."""
    from selbench.data.chat import _spans

    text, spans = _spans(example, tokenizer, True)
    return [text[start:end] for start, end, of in spans if of == role]


def written(tokenizer: Any, example: Example = ASKED) -> str:
    from selbench.data.chat import render_prompt

    return render_prompt(example, tokenizer)


class Tomorrow(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Tomorrow:
        return cls(2031, 2, 3)


def test_the_date_of_a_template_is_fixed(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    from selbench.data import tokenizer_file

    today = written(load(LLAMA_3_2))
    for module in (chat_template_utils, tokenizer_file):
        monkeypatch.setattr(module, "datetime", Tomorrow)
        for cached in ("_compile_jinja_template", "_cached_compile_jinja_template", "compiled_template"):
            if hasattr(getattr(module, cached, None), "cache_clear"):
                getattr(module, cached).cache_clear()
    tokenizer = load(LLAMA_3_2)
    assert written(tokenizer) == today
    assert "Today Date: 26 Jul 2024\n" in today
    # The clock is indeed the one that a template reads.
    bare = copy.copy(tokenizer)
    bare.chat_template = LLAMA_3_2
    assert "Today Date: 03 Feb 2031\n" in written(bare)


def test_the_date_is_an_option_and_in_the_key(load: Any, tmp_path: Path) -> None:
    assert "Today Date: 24 Dec 2025\n" in written(load(LLAMA_3_2, template_date="2025-12-24"))
    usual = reference(LLAMA_3_2, tmp_path)
    same, other = (dataclasses.replace(usual, template_date=day) for day in ("2024-07-26", "2025-12-24"))
    assert fingerprint(usual) == fingerprint(same) != fingerprint(other)
    for wrong in ("26 Jul 2024", "today", "", "2024-02-30"):
        with pytest.raises(UserError, match=r"model 'mine': template_date=.* is no day; write it as 2024-07-26"):
            fingerprint(dataclasses.replace(usual, template_date=wrong))
        with pytest.raises(UserError, match="is no day"):
            load_tokenizer(dataclasses.replace(usual, template_date=wrong))


def test_a_date_that_cannot_be_fixed_is_refused(load: Any) -> None:
    with pytest.raises(UserError, match=r"model 'mine': .* cannot be fixed.*model\.template=plain"):
        load("{% set form = '%d' %}{{ strftime_now(form) }}{{ messages[0].content }}")


@pytest.mark.parametrize("template", [LLAMA_3_2, GEMMA, MISTRAL_NEMO, R1_DISTILL, QWEN_3])
def test_a_plain_conversation_is_labelled(load: Any, template: str) -> None:
    tokenizer = load(template)
    talk = dataclasses.replace(TALK, system="")
    assert said(tokenizer, talk, PROMPT) == ["what colour is the sky?", "and now?"]
    assert [text.rpartition("\n")[2] for text in said(tokenizer, talk, RESPONSE)] == ["blue.", "red."]
    for row in encode([ASKED, talk], tokenizer, max_length=512):
        assert {PROMPT, RESPONSE, END} <= set(row.roles.tolist())


def test_what_closes_an_earlier_answer_is_not_taken_from_the_next_turn(load: Any) -> None:
    talk = dataclasses.replace(TALK, system="")
    assert said(load(QWEN_3), talk, END) == ["<|im_end|>\n", "<|im_end|>\n"]


@pytest.mark.parametrize(
    ("template", "example", "reason", "helps"),
    [
        (GEMMA, TOLD, "refuses it: System role not supported", True),
        (MISTRAL_NEMO, TOLD, "moves, changes or leaves out the system prompt", True),
        (MISTRAL_NEMO, TALK, "moves, changes or leaves out the system prompt", True),
        (R1_DISTILL, THOUGHT, "changes or leaves out a part of the response", False),
        (QWQ, THOUGHT, "writes what stands before the response differently once it is answered", False),
        (QWQ, ASKED, r"goes on with '<think>\\n'", False),
        (QWQ, TALK, "before assistant turn 1 differently", False),
    ],
)
def test_a_turn_that_cannot_be_labelled_is_an_error_that_says_what_works(
    load: Any, template: str, example: Example, reason: str, helps: bool
) -> None:
    tokenizer = load(template)
    with pytest.raises(UserError, match=reason) as raised:
        encode([example], tokenizer, max_length=512)
    message = str(raised.value)
    assert message.startswith(f"example '{example.id}': the chat template of {tokenizer.name_or_path} ")
    assert "model.template=plain" in message
    assert ("pool.system=into_user" in message) == ("pool.system=drop" in message) == helps
    # What the message names does work.
    if helps:
        for how in ("into_user", "drop"):
            encode([with_system(example, how)], tokenizer, max_length=512)
    encode([example], load(template, template="plain"), max_length=512)


def test_a_system_prompt_that_a_template_knows_stays(load: Any) -> None:
    assert said(load(LLAMA_3_2), TALK, PROMPT) == ["be brief.", "what colour is the sky?", "and now?"]
    assert said(load(R1_DISTILL), TALK, PROMPT) == ["be brief.", "what colour is the sky?", "and now?"]


def test_what_becomes_of_a_system_prompt() -> None:
    assert with_system(TALK, "keep") is TALK
    assert with_system(ASKED, "into_user") is ASKED
    assert with_system(TALK, "drop") == dataclasses.replace(TALK, system="")
    assert with_system(TOLD, "into_user").instruction == "be brief.\n\nwhat colour is the sky?"
    moved = with_system(TALK, "into_user")
    assert moved.history == (("be brief.\n\nwhat colour is the sky?", "blue."),)
    assert (moved.system, moved.instruction) == ("", "and now?")
