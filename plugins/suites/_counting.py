"""lm-eval's model, which also counts the items whose prompt it cuts, and looks for a batch size at lengths that occur."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


@cache
def counting_model_class() -> type:
    """The class, defined on demand because lm-eval takes seconds to import."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.utils import normalize_gen_kwargs

    class CountingHFLM(HFLM):  # type: ignore[misc]
        """`cut` is task -> the numbers of its items (doc_id) of which some text did not fit."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.cut: dict[str, set[int]] = {}
            self._asked: list[Instance] = []
            self._longest = 0  # tokens of the longest text of the requests at hand, with its answer

        def loglikelihood(self, requests: list[Instance], **options: Any) -> Any:
            self._asked = requests
            try:
                return super().loglikelihood(requests, **options)
            finally:
                self._asked = []

        def _loglikelihood_tokens(self, requests: list[Any], **options: Any) -> Any:
            # None were asked for in windows of one long text, which are made to fit.
            for instance, (_, context, continuation) in zip(self._asked, requests):
                # The last token is predicted, but not read.
                self._note(instance, len(context) + len(continuation) - 1, self.max_length)
            return super()._loglikelihood_tokens(requests, **options)

        def loglikelihood_rolling(self, requests: list[Instance], **options: Any) -> Any:
            if self.batch_size == "auto":
                self._longest = max((len(self.tok_encode(request.args[0])) for request in requests), default=0)
            return super().loglikelihood_rolling(requests, **options)

        def generate_until(self, requests: list[Instance], **options: Any) -> Any:
            self._longest = 0
            for instance in requests:
                prompt, settings = instance.args
                room = int(normalize_gen_kwargs(settings, self.max_gen_toks)["max_gen_toks"])
                length = len(self.tok_encode(prompt))
                self._note(instance, length, self.max_length - room)
                self._longest = max(self._longest, length + room)
            return super().generate_until(requests, **options)

        def _detect_batch_size(self, requests: Any = None, pos: int = 0) -> Any:
            """At the longest length that occurs: a model with 131,072 positions would find no batch size at all of them."""
            if not requests and self._longest:
                longest = min(self._longest, self.max_length)
                requests, pos = [(None, [0] * (longest + 1), [])], 0
            return super()._detect_batch_size(requests, pos)

        def _note(self, instance: Instance, length: int, room: int) -> None:
            if length > room and instance.task_name is not None and instance.doc_id is not None:
                self.cut.setdefault(instance.task_name, set()).add(instance.doc_id)

    return CountingHFLM
