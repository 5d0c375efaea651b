"""Which worker a stream goes to: the ready one with the fewest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from servery.serving.batcher import least_loaded
from servery.workers.worker import Worker, WorkerState

STARTING, IDLE, BUSY, ENDED = WorkerState


@pytest.mark.parametrize(
    ("workers", "chosen"),
    [
        ([], None),
        ([(STARTING, 0), (ENDED, 0)], None),
        ([(IDLE, 2), (IDLE, 1), (IDLE, 3)], 1),
        ([(STARTING, 0), (BUSY, 1), (IDLE, 1)], 1),
        ([(IDLE, 5), (BUSY, 4)], 1),
    ],
)
def test_the_ready_worker_with_the_fewest_streams_is_chosen(
    workers: list[tuple[WorkerState, int]], chosen: int | None
) -> None:
    made = [cast("Worker", SimpleNamespace(state=state, streams=range(count))) for state, count in workers]
    found = least_loaded(made)
    assert (None if found is None else made.index(found)) == chosen
