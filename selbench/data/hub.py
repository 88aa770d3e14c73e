"""Decides quickly whether the Hugging Face hub can be reached, and keeps its libraries offline if not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_TO_ANSWER = 5.0  # how long the hub may take to answer one request before it counts as unreachable
SECONDS_TO_ASK_AGAIN = (
    60.0  # how long an endpoint that did not answer is not asked again: a run may need many repositories
)

_silent: dict[str, float] = {}  # endpoint -> when it did not answer, on the clock time.monotonic()


def reachable() -> bool:
    """Whether the hub (or the mirror in HF_ENDPOINT) answers at all, through the proxies of the environment."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.is_offline_mode():
        return False
    if time.monotonic() - _silent.get(constants.ENDPOINT, float("-inf")) < SECONDS_TO_ASK_AGAIN:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS_TO_ANSWER)
    except Exception:  # any reason counts: no name service, no route, a proxy, a certificate
        _silent[constants.ENDPOINT] = time.monotonic()
        return False
    return True


def unreachable_text() -> str:
    """Why the hub was not asked, as a clause that names it."""
    from huggingface_hub import constants

    where = f"the hub ({constants.ENDPOINT})"
    if constants.is_offline_mode():
        return f"HF_HUB_OFFLINE is set, so {where} is not asked"
    return f"{where} cannot be reached from here"


@contextmanager
def cache_only_if_unreachable() -> Iterator[bool]:
    """Offline mode inside the block if the hub is not reachable; yields whether it is.

    Otherwise the hub's libraries would retry every request for half a minute before they look into the cache. They
    read HF_HUB_OFFLINE from the environment only when first imported, so it is set in their modules.
    """
    if reachable():
        yield True
        return
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield False
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def forget_silence() -> None:
    """Ask endpoints again that did not answer."""
    _silent.clear()
