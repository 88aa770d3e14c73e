"""Runs other libraries without their messages, and without changing the caller's random state."""

from __future__ import annotations

import contextlib
import logging
import random
import warnings
from collections.abc import Iterator

import numpy as np

# The loggers that `quiet` limits to errors; transformers has switches of its own.
CHATTY = ("accelerate", "datasets", "lm_eval", "peft", "trl", "httpx", "huggingface_hub", "filelock", "fsspec")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the libraries' warnings, notes and progress bars inside the block; exceptions are not affected."""
    import datasets
    from transformers.utils import logging as transformers_logging

    levels = {name: logging.getLogger(name).level for name in CHATTY}
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled(), datasets.are_progress_bars_disabled()
    try:
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        datasets.disable_progress_bars()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if not bars[1]:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and torch inside the block, and restores their states afterwards."""
    import torch
    from transformers import set_seed

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        set_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
