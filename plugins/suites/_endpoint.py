"""Models behind a server that speaks OpenAI's protocol, through lm-eval's own client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selbench_plugins.suites._code_needs import absent_modules
from selbench_plugins.suites._counting import chat_class, counting_completions_class
from selbench_plugins.suites._task_needs import configs_of
from selbench_plugins.suites._vllm import refuse_said_elsewhere

from selbench.api import ModelRef
from selbench.endpoint import KEY, check_served, serves_tokenizer
from selbench.errors import NotAtHand, UserError
from selbench.models import load_tokenizer, positions

CLIENT = ["aiohttp", "requests", "tenacity"]  # what lm-eval's client imports
BY_LIKELIHOOD = ("loglikelihood", "loglikelihood_rolling", "multiple_choice")
SECRET = f"the environment variable {KEY}: options are recorded"
# What the suite and the model say themselves, with the option for it; None: there is none, because selbench sets it.
SAID_ELSEWHERE = {
    "add_bos_token": "the suite's add_bos_token",
    "auth_token": SECRET,
    "base_url": "model.url",
    "batch_size": "the suite's batch_size",
    "header": SECRET,
    "max_length": "the suite's max_length",
    "model": "model.name",
    "pretrained": "model.name",
    "revision": "model.revision",
    "tokenizer": "model.path",
    "tokenizer_backend": None,
    "tokenized_requests": None,
    "trust_remote_code": None,
}


def check_endpoint(
    model: ModelRef, tasks: Sequence[str], folder: str | None, *, apply_chat_template: bool, options: Mapping[str, Any]
) -> None:
    """Raises UserError for what cannot be scored of a model behind an endpoint, NotAtHand for one that is not to be had now.

    Args:
        model: the model behind the endpoint.
        tasks: the names of tasks, groups and tags; none for all tasks of the folder.
        folder: the folder of task files.
        apply_chat_template: whether prompts are put into a chat.
        options: arguments of lm-eval's client.
    """
    refuse_said_elsewhere(options, SAID_ELSEWHERE)
    by_likelihood = sorted(str(name) for name, config in configs_of(tasks, folder) if _is_by_likelihood(config))
    who = f"model '{model.name}' behind {model.url}"
    if model.chat and by_likelihood:
        raise UserError(
            f"task '{by_likelihood[0]}' asks how likely given answers are, which a chat does not tell ({who}). Valid: tasks "
            "whose output_type is generate_until, or model.chat=false where the server also has completions."
        )
    if model.chat and not apply_chat_template:
        raise UserError(f"{who}: a chat takes messages: set the suite's apply_chat_template=true, or model.chat=false.")
    if absent := absent_modules(CLIENT):
        raise NotAtHand(
            f"{who}: lm-eval's client needs the Python module{'s' * (len(absent) > 1)} {' and '.join(absent)}, which "
            f'{"are" if len(absent) > 1 else "is"} not installed: pip install "selbench[endpoint]".'
        )
    check_served(str(model.url), model.name)
    tokenizes = not model.path and not model.chat and (by_likelihood or apply_chat_template)
    if tokenizes and not serves_tokenizer(str(model.url)):
        what = f"task '{by_likelihood[0]}'" if by_likelihood else "apply_chat_template"
        raise UserError(
            f"{what} needs the tokenizer of {who}, whose server has none (/tokenizer_info): set model.path to a folder that "
            "holds it, or to its name on the hub."
        )


def _is_by_likelihood(config: Mapping[str, Any]) -> bool:
    return config.get("output_type") in BY_LIKELIHOOD


@contextmanager
def endpoint_model(
    model: ModelRef,
    scratch: Path,
    *,
    max_length: int | None,
    add_bos_token: bool | None,
    batch_size: int,
    options: Mapping[str, Any],
) -> Iterator[Any]:
    """lm-eval's client of the model's server. What the server refuses in the block becomes a UserError."""
    import aiohttp
    import requests

    longest = min(filter(None, (max_length, positions(model))), default=model.max_length)
    common = {"model": model.name, "max_length": longest, **options}
    try:
        if model.chat:
            yield chat_class()(base_url=f"{model.url}/chat/completions", tokenized_requests=False, **common)
        else:
            yield counting_completions_class()(
                base_url=f"{model.url}/completions",
                add_bos_token=add_bos_token,
                batch_size=batch_size or 1,
                **_tokenizer(model, scratch),
                **common,
            )
    except (requests.RequestException, aiohttp.ClientError, TimeoutError) as error:
        raise UserError(f"the server at {model.url} failed: {type(error).__name__}: {error}.") from error


def _tokenizer(model: ModelRef, scratch: Path) -> dict[str, Any]:
    """The tokenizer of prompts: that of `model.path`, else the server's, else none; and whether prompts are sent as tokens."""
    if model.path:
        folder = scratch / "tokenizer"
        load_tokenizer(model).save_pretrained(folder)  # with the chat template in force
        return {"tokenizer": str(folder), "tokenizer_backend": "huggingface", "tokenized_requests": True}
    if serves_tokenizer(str(model.url)):
        return {"tokenizer_backend": "remote", "tokenized_requests": True, "auth_token": os.environ.get(KEY)}
    return {"tokenizer_backend": None, "tokenized_requests": False}
