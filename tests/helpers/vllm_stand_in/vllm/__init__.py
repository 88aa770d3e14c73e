"""A stand-in for vLLM: as much of its interface as lm-eval's class for it uses, over transformers on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

made: list[dict[str, Any]] = []  # the arguments of each engine
asked: list[Any] = []  # the tokens of each prompt, as lists


def TokensPrompt(prompt_token_ids: list[int]) -> dict[str, list[int]]:
    return {"prompt_token_ids": prompt_token_ids}


class SamplingParams:
    def __init__(self, **options: Any) -> None:
        self.max_tokens, self.stop = options["max_tokens"], options.get("stop") or []
        self.prompt_logprobs = options.get("prompt_logprobs")
        self.skip_special_tokens = options.get("skip_special_tokens", True)
        assert options.get("temperature", 1.0) == 0.0, "the stand-in is greedy"


@dataclass
class Logprob:
    logprob: float


@dataclass
class Output:
    prompt_logprobs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


class LLM:
    def __init__(self, model: str, tokenizer: str, dtype: str, max_model_len: int | None, **options: Any) -> None:
        made.append({"model": model, "tokenizer": tokenizer, "dtype": dtype, "max_model_len": max_model_len, **options})
        self._network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        known = self._network.config.max_position_embeddings
        assert max_model_len is None or max_model_len <= known, "as vLLM refuses more than the model has"
        self._longest = max_model_len or known
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=self._longest))

    def generate(self, prompts: Any, sampling_params: Any, use_tqdm: bool, lora_request: Any) -> list[Output]:
        assert lora_request is None
        asked.extend(prompt["prompt_token_ids"] for prompt in prompts)
        return [self._answer(prompt["prompt_token_ids"], how) for prompt, how in zip(prompts, sampling_params)]

    @torch.inference_mode()
    def _answer(self, ids: list[int], how: SamplingParams) -> Output:
        assert len(ids) + 1 <= self._longest, "vLLM refuses a prompt that leaves no room for a token"
        if how.prompt_logprobs:
            logs = self._network(torch.tensor([ids])).logits[0].float().log_softmax(-1)
            return Output([None, *(_near(logs[i], ids[i + 1]) for i in range(len(ids) - 1))])
        written: list[int] = []
        while len(written) < how.max_tokens:
            written.append(int(self._network(torch.tensor([ids + written])).logits[0, -1].argmax()))
            text = self._tokenizer.decode(written)
            if any(stop in text for stop in how.stop) or written[-1] == self._tokenizer.eos_token_id:
                break
        text = self._tokenizer.decode(written, skip_special_tokens=how.skip_special_tokens)
        text = text[: min((text.index(stop) for stop in how.stop if stop in text), default=len(text))]
        return Output(outputs=[SimpleNamespace(text=text)])


def _near(logs: torch.Tensor, token: int) -> dict[int, Logprob]:
    """The log-probability of a token and that of the likeliest one, as vLLM gives them for prompt_logprobs=1."""
    return {int(logs.argmax()): Logprob(float(logs.max())), token: Logprob(float(logs[token]))}
