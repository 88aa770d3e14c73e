"""The generated pool that ships with selbench."""

from __future__ import annotations

from selbench.api import pool
from selbench.planted.pool import PlantedPool


@pool("planted")
class Planted(PlantedPool):
    """Generated instructions about an invented world, with known skills, copies and faults; equal options give equal pools.

    Shares are of all rows. Two rows that ask the same question of the same skill are duplicates, however they are
    worded. `exact_duplicates` and `near_duplicates` plant some; more arise where a skill gets more rows than it
    has different questions.
    """
