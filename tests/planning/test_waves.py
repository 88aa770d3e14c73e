"""The time of jobs on several workers, by list scheduling."""

from __future__ import annotations

import pytest

from selbench.planning.waves import makespan


@pytest.mark.parametrize(
    ("seconds", "after", "workers", "ends"),
    [
        ([], [], 3, 0),
        ([4, 3, 2], [(), (), ()], 1, 9),
        ([4, 3, 2], [(), (), ()], 2, 5),
        ([4, 3, 2], [(), (), ()], 9, 4),
        ([4, 3, 2], [(), (0,), (1,)], 2, 9),
        ([5, 1, 1, 3], [(), (), (1,), (2,)], 2, 5),
        ([0, 0, 7], [(), (0,), (0, 1)], 2, 7),
    ],
)
def test_the_time_of_jobs_that_wait_for_others(seconds, after, workers, ends):
    assert makespan(seconds, after, workers) == ends
