"""Messages of Ray's workers come through Ray's own thread, a little late: they are awaited before the summary is printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Ray reads the files of its workers several times a second and sends on what is new.
LAST_S = 1.5


@contextmanager
def messages_awaited(engine: str) -> Iterator[None]:
    """After the block, if Ray is the launcher's engine: print what the workers have said, and leave the cluster.

    What has not arrived by then is in the files of Ray's session only, instead of standing below the summary.
    """
    yield
    if engine == "ray" and "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            time.sleep(LAST_S)
            ray.shutdown()
