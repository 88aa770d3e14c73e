"""A small server on loopback that speaks as much of OpenAI's protocol as lm-eval's client uses, over a tiny model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from selbench.api import ModelRef
from selbench.models import load_model, load_tokenizer


class OpenAIServer:
    """Serves one model under a name. What it was asked is in `asked`: (path, body, Authorization)."""

    def __init__(self, ref: ModelRef, name: str = "tiny") -> None:
        self.network, self.tokenizer, self.name = load_model(ref, device="cpu"), load_tokenizer(ref), name
        self.asked: list[tuple[str, Any, str]] = []
        self.key = ""  # where there is one, it is required
        self.failures = 0  # so many of the next answers are an error
        self.echoes = self.lists = True  # whether it gives log-probabilities of prompts, and a list of its models
        self.tokenizes = False  # whether it has its tokenizer to be asked for
        self.also: list[str] = []  # more names of the model
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply(server.answer(self.path, None, self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._reply(server.answer(self.path, sent, self.headers.get("Authorization", "")))

            def _reply(self, found: tuple[int, Any]) -> None:
                content = json.dumps(found[1]).encode()
                self.send_response(found[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, sent: Any, key: str) -> tuple[int, Any]:
        self.asked.append((path, sent, key))
        if self.key and key != f"Bearer {self.key}":
            return 401, {"error": "no key"}
        if sent and self.failures:
            self.failures -= 1
            return 503, {"error": "busy"}
        if path == "/v1/models" and self.lists:
            return 200, {"data": [{"id": name} for name in (self.name, *self.also)]}
        if path == "/tokenizer_info" and self.tokenizes:
            special = {name: getattr(self.tokenizer, name) for name in ("bos_token", "eos_token", "pad_token")}
            return 200, {**special, "chat_template": self.tokenizer.chat_template}
        if path == "/tokenize" and self.tokenizes:
            return 200, {"tokens": self.tokenizer.encode(sent["prompt"], add_special_tokens=sent["add_special_tokens"])}
        if path not in ("/v1/completions", "/v1/chat/completions"):
            return 404, {"error": "unknown path"}
        if sent["model"] not in (self.name, *self.also):
            return 404, {"error": "unknown model"}
        with self._lock:
            return 200, {"choices": [{"index": i, **one} for i, one in enumerate(self._choices(path, sent))]}

    def _choices(self, path: str, sent: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if path.endswith("chat/completions"):
            ids = self.tokenizer.apply_chat_template(sent["messages"], add_generation_prompt=True, return_dict=False)
            yield {"message": {"content": self._written(ids, sent)}}
            return
        prompts = sent["prompt"]
        for prompt in prompts if isinstance(prompts, list) and isinstance(prompts[0], list | str) else [prompts]:
            ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
            if not sent.get("echo"):
                yield {"text": self._written(ids, sent)}
            else:
                yield {"text": "", "logprobs": self._logprobs(ids) if self.echoes else None}

    @torch.inference_mode()
    def _logprobs(self, ids: list[int]) -> dict[str, Any]:
        """Of each token of the prompt and of the one that follows."""
        logs = self.network(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        following = [*ids[1:], int(logs[-1].argmax())]
        tops = [{"top": float(row.max()), "this": float(row[token])} for row, token in zip(logs, following)]
        return {"token_logprobs": [None, *(top["this"] for top in tops)], "top_logprobs": [None, *tops]}

    @torch.inference_mode()
    def _written(self, ids: list[int], sent: dict[str, Any]) -> str:
        written: list[int] = []
        assert sent["temperature"] == 0
        while len(written) < sent["max_tokens"]:
            token = int(self.network(torch.tensor([ids + written])).logits[0, -1].argmax())
            if token == self.tokenizer.eos_token_id:
                break
            written.append(token)
        text = self.tokenizer.decode(written, skip_special_tokens=True)
        stops = [stop for stop in sent.get("stop") or [] if stop and stop in text]
        return text[: min(map(text.index, stops), default=len(text))]


@contextmanager
def openai_server(ref: ModelRef, name: str = "tiny") -> Iterator[OpenAIServer]:
    server = OpenAIServer(ref, name)
    try:
        yield server
    finally:
        server.close()
