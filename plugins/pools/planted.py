"""The generated pool that ships with selbench."""

from __future__ import annotations

from selbench.api import pool
from selbench.planted.pool import PlantedPool


@pool("planted")
class Planted(PlantedPool):
    """Generated instructions about an invented world, with known skills, copies and faults; equal options, equal pool.

    Shares are of all rows. Two rows that ask one question of one skill are duplicates, however they are worded:
    planted ones by the two knobs, and more where a skill gets more rows than it has different arguments.
    """
