"""One call of a plugin under watch: what it does besides what it returns."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Example, Pool
from selbench.errors import PluginError
from selbench.run.plugin_call import examples_kept
from selbench.testing.labels import labels_watched
from selbench.testing.process import changes_noted, torch_at_hand
from selbench.testing.watch import written_outside


@dataclass
class Watched:
    """What a call returned or raised, and what else it did: a sentence for each change, none where there is none."""

    result: Any = None
    error: BaseException | None = None
    randomness: list[str] = field(default_factory=list)  # global generators that it changed
    process: list[str] = field(default_factory=list)  # settings of the process that it changed
    written: list[tuple[str, str]] = field(default_factory=list)  # (path, line of code), outside its folder
    reached: list[str] = field(default_factory=list)  # hidden labels and test items that it got at
    changed: str = ""  # which of the examples that it was given it changed


@contextmanager
def globals_seeded(seed: int) -> Iterator[None]:
    """Seeds Python's, NumPy's and torch's global generators inside the block, and restores them afterwards."""
    numpy_state: Any = np.random.get_state()
    torch = torch_at_hand()
    python_state, torch_state = random.getstate(), torch and torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        if torch:
            torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if torch:
            torch.set_rng_state(torch_state)


def watched_call(
    plugin: Any,
    method: str,
    call: Callable[[], Any],
    folder: Path,
    *,
    given: Sequence[Sequence[Example]] = (),
    hidden: Pool | None = None,
) -> Watched:
    """`call()` under watch, with global seeds that no other call of the checks has.

    Args:
        plugin: whose method it is.
        method: the method's name, for messages.
        call: calls it.
        folder: where it may write.
        given: the examples that it has in its hands.
        hidden: the pool whose hidden labels are in memory meanwhile, and noted if they are looked at.
    """
    seen = Watched()
    with globals_seeded(20_261), written_outside(folder) as written, changes_noted() as seen.process:
        states = _random_states()
        try:
            with examples_kept(plugin, method, given, lambda: None):
                if hidden is None:
                    seen.result = call()
                else:
                    with labels_watched(hidden) as reached:
                        seen.result = call()
                    seen.reached = reached
        except PluginError as error:
            if "changed the examples" in str(error):
                seen.changed = str(error).split("(): ")[-1].split(". Copies")[0]
            else:
                seen.error = error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the check that asks for the result says what was raised
            seen.error = error
        after = _random_states()
        seen.randomness = [name for name, old in states.items() if old is not None and old != after[name]]
    seen.written = written
    return seen


def _random_states() -> dict[str, Any]:
    torch = torch_at_hand()
    numpy_state: Any = np.random.get_state()  # its type depends on the version of NumPy
    return {
        "python's": random.getstate(),
        "numpy's": [*numpy_state[1].tolist(), numpy_state[2]],
        "torch's": torch and torch.get_rng_state().tolist(),
    }
