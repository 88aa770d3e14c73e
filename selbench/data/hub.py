"""Asking the Hugging Face hub without waiting on a network that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_TO_ANSWER = 5.0


def reachable() -> bool:
    """Whether the hub (or the mirror in HF_ENDPOINT) answers at all, through the proxies of the environment."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.is_offline_mode():
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS_TO_ANSWER)
    except Exception:  # whatever keeps an answer away: no name service, no route, a proxy, a certificate
        return False
    return True


@contextmanager
def cache_only_if_unreachable() -> Iterator[bool]:
    """Offline mode inside the block if the hub does not answer one short question; gives whether it did.

    The hub's libraries would otherwise retry every request for half a minute before they look into the cache.
    They read HF_HUB_OFFLINE from the environment when first imported, which is why it is set on their modules.
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
