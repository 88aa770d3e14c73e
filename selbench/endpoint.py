"""Servers that speak OpenAI's protocol: which address is meant, whether it answers, and which models it serves.

The key is read from OPENAI_API_KEY and goes nowhere else: an address that holds one is refused before it could be recorded.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from selbench.errors import NotAtHand, UserError, unknown

KEY = "OPENAI_API_KEY"
WAIT_S = 10.0
PATHS = ("/chat/completions", "/completions", "/models")  # which people copy with the address


def base_address(url: str, setting: str = "model.url") -> str:
    """The address below which the server has `/completions` and `/models`, as `http://localhost:8000/v1`.

    Raises UserError for one that is no address of a server, or that holds credentials; they are not repeated.
    """
    parts = urlsplit(url.strip())
    try:
        bad = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:  # a port that is no number
        bad = True
    if parts.username or parts.password or "@" in parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"{setting} holds more than an address ({parts.hostname}): a user, a key or a query. An address is recorded, so "
            f"none may stand in it; the server's key is read from the environment variable {KEY}."
        )
    if bad:
        raise UserError(f"{setting}={url} is not the address of a server: write it as http://localhost:8000/v1.")
    path = parts.path.rstrip("/")
    for ending in PATHS:
        path = path.removesuffix(ending)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def check_served(url: str, name: str) -> None:
    """Raises NotAtHand if the server does not answer, UserError if it refuses the key or lists other models than this one.

    A server without a list of its models is taken to serve it.
    """
    address = base_address(url)
    listed = _listed_models(address)
    if listed and name not in listed:
        raise UserError(f"the server at {address}: " + unknown("model (set by model.name)", name, listed))


def serves_tokenizer(url: str) -> bool:
    """Whether the server has its tokenizer to be asked for, as vLLM's has (`/tokenizer_info`, beside `/v1`)."""
    try:
        with _answer(base_address(url).removesuffix("/v1") + "/tokenizer_info") as answer:
            return isinstance(json.load(answer), dict)
    except (OSError, ValueError):
        return False


def _answer(url: str) -> Any:
    """The open answer to a GET. Raises urllib's HTTPError and other errors of the system."""
    headers = {"Authorization": f"Bearer {os.environ[KEY]}"} if os.environ.get(KEY) else {}
    return _opener().open(urllib.request.Request(url, headers=headers), timeout=WAIT_S)


def _listed_models(address: str) -> list[str]:
    """The names of the models that the server lists; none where it has no such list."""
    try:
        with _answer(f"{address}/models") as answer:
            about = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            hint = "refuses the key in" if os.environ.get(KEY) else "asks for a key, which is read from"
            raise UserError(f"the server at {address} {hint} the environment variable {KEY}.") from None
        if error.code >= 500:
            raise NotAtHand(f"the server at {address} answers with the error {error.code}.") from None
        return []
    except (OSError, ValueError) as error:
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            return []
        raise NotAtHand(f"the server at {address} cannot be reached: {_reason(error)}.") from None
    rows = about.get("data") if isinstance(about, dict) else None
    return [str(row["id"]) for row in rows or [] if isinstance(row, dict) and "id" in row]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is not carried to another address."""

    def redirect_request(self, *_: object) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


def _reason(error: Exception) -> str:
    """`Connection refused`, `timed out`."""
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner).rstrip(".")
