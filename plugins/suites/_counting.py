"""Models of lm-eval that also count the items whose prompt they cut. Each class is defined on demand: lm-eval takes seconds
to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from selbench.errors import UserError

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class CountsCutItems:
    """Goes before a model class of lm-eval among the bases. `cut` is task -> the numbers (doc_id) of its items of which
    some text did not fit."""

    max_length: int
    tok_encode: Any
    # By how much a text with its answer may be longer than `max_length`: the last token is predicted, but need not be read.
    beyond = 1

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cut: dict[str, set[int]] = {}
        self._asked: Sequence[Instance] = []

    def loglikelihood(self, requests: list[Instance], **options: Any) -> Any:
        self._asked = requests
        try:
            return super().loglikelihood(requests, **options)  # type: ignore[misc]
        finally:
            self._asked = []

    def _loglikelihood_tokens(self, requests: list[Any], **options: Any) -> Any:
        # None were asked for in windows of one long text, which are made to fit.
        for instance, (_, context, continuation) in zip(self._asked, requests):
            self._note(instance, len(context) + len(continuation), self.max_length + self.beyond)
        return super()._loglikelihood_tokens(requests, **options)  # type: ignore[misc]

    def generate_until(self, requests: list[Instance], **options: Any) -> Any:
        for instance in requests:
            room = self.answer_tokens(instance)
            self._note(instance, len(self.tok_encode(instance.args[0])), self.max_length - room)
        return super().generate_until(requests, **options)  # type: ignore[misc]

    def answer_tokens(self, instance: Instance) -> int:
        """The longest answer that a request asks for."""
        from lm_eval.models.utils import normalize_gen_kwargs

        longest = getattr(self, "max_gen_toks", None) or getattr(self, "_max_gen_toks", 0)
        return int(normalize_gen_kwargs(instance.args[1], longest)["max_gen_toks"])

    def _note(self, instance: Instance, length: int, room: int) -> None:
        if length > room and instance.task_name is not None and instance.doc_id is not None:
            self.cut.setdefault(instance.task_name, set()).add(instance.doc_id)


@cache
def counting_model_class() -> type:
    """The class for models in this process, which looks for a batch size at lengths that occur."""
    from lm_eval.models.huggingface import HFLM

    class CountingHFLM(CountsCutItems, HFLM):  # type: ignore[misc]
        _longest = 0  # tokens of the longest text of the requests at hand, with its answer

        def loglikelihood_rolling(self, requests: list[Instance], **options: Any) -> Any:
            if self.batch_size == "auto":
                self._longest = max((len(self.tok_encode(request.args[0])) for request in requests), default=0)
            return super().loglikelihood_rolling(requests, **options)

        def generate_until(self, requests: list[Instance], **options: Any) -> Any:
            lengths = (len(self.tok_encode(each.args[0])) + self.answer_tokens(each) for each in requests)
            self._longest = max(lengths, default=0)
            return super().generate_until(requests, **options)

        def _detect_batch_size(self, requests: Any = None, pos: int = 0) -> Any:
            """At the longest length that occurs: a model with 131,072 positions would find no batch size at all of them."""
            if not requests and self._longest:
                longest = min(self._longest, self.max_length)
                requests, pos = [(None, [0] * (longest + 1), [])], 0
            return super()._detect_batch_size(requests, pos)

    return CountingHFLM


@cache
def counting_vllm_class() -> type:
    """The class for models that vLLM runs. Imports vllm."""
    from lm_eval.models.vllm_causallms import VLLM

    class CountingVLLM(CountsCutItems, VLLM):  # type: ignore[misc]
        beyond = -1  # it reads the answer's last token, too, and then writes one more

        @staticmethod
        def modify_gen_kwargs(gen_kwargs: dict[str, Any], *words: Any, **options: Any) -> Any:
            """Without special tokens in what the model writes, as where transformers runs it."""
            kwargs, until, longest = VLLM.modify_gen_kwargs(
                {"skip_special_tokens": True, **gen_kwargs}, *words, **options
            )
            return kwargs, until, longest

    return CountingVLLM


@cache
def counting_completions_class() -> type:
    """The class for models behind an endpoint for completions, which gives texts the tokens that the other classes give them."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from lm_eval.models.utils import has_bos_prefix

    class CountingCompletions(CountsCutItems, LocalCompletionsAPI):  # type: ignore[misc]
        beyond = 0  # `max_length` is one less than what the server has

        def tok_encode(
            self, string: Any, left_truncate_len: int | None = None, add_special_tokens: bool | None = None, **_: Any
        ) -> Any:
            """lm-eval's own adds the BOS token only where it is told to, and also to a prompt that begins with it."""
            if self.tokenizer_backend != "huggingface":
                return super().tok_encode(string)
            if not isinstance(string, str):
                return [self.tok_encode(text, left_truncate_len, add_special_tokens) for text in string]
            special = self.add_bos_token if add_special_tokens is None else add_special_tokens
            if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
                special = False
            ids = self.tokenizer.encode(string, **({} if special is None else {"add_special_tokens": special}))
            return ids[-left_truncate_len:] if left_truncate_len else ids

        def generate_until(self, requests: list[Instance], **options: Any) -> Any:
            if self.tokenizer is None:  # the server alone knows how long a prompt is
                return LocalCompletionsAPI.generate_until(self, requests, **options)
            return super().generate_until(requests, **options)

        @staticmethod
        def parse_logprobs(outputs: Any, tokens: Any = None, ctxlens: Any = None, **options: Any) -> Any:
            """Raises UserError where lm-eval would take the log-probabilities of other tokens than those it sent, or of none."""
            answers = outputs if isinstance(outputs, list) else [outputs]
            try:
                choices = [
                    one for answer in answers for one in sorted(answer["choices"], key=lambda each: each["index"])
                ]
                told = [len(choice["logprobs"]["token_logprobs"]) for choice in choices]
            except (KeyError, TypeError):
                told = []
            sent = [len(ids) + 1 for ids in tokens]  # and one that it writes
            if told != sent:
                raise UserError(
                    "the server does not give the log-probabilities of the prompt (echo and logprobs of OpenAI's completions), "
                    f"which a task needs: {sum(told)} came back, {sum(sent)} were expected. Take tasks whose output_type is "
                    "generate_until, or another server."
                )
            return LocalCompletionsAPI.parse_logprobs(outputs, tokens, ctxlens, **options)

    return CountingCompletions


@cache
def chat_class() -> type:
    """The class for models behind an endpoint for chats, whose server alone knows how long a prompt is: none counts as cut."""
    from lm_eval.models.openai_completions import LocalChatCompletion

    class Chat(LocalChatCompletion):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.cut: dict[str, set[int]] = {}

    return Chat
