"""A version takes over under load: nobody notices."""

from __future__ import annotations

from pathlib import Path

import servery
from tests.e2e.faults import kill_under_load, swap_under_load
from tests.servers import Both, wait_until


def test_an_endpoint_follows_its_alias_under_load_without_a_failed_or_stale_answer(
    both: Both, client: servery.Client, echo_folders: tuple[Path, Path]
) -> None:
    for folder in echo_folders:
        client.register(folder, name="moved")
    client.set_alias("moved", "champion", 1)
    client.deploy("moved", "models:/moved@champion")
    report = swap_under_load(both, endpoint="moved", swaps=6, per_second=300)
    assert len(report.samples) > 500
    assert report.failures == []
    assert report.stale == []
    wait_until(lambda: len(both.up.workers()) == 1, "the old versions' processes have ended")


def test_workers_killed_under_load_cost_no_request(
    both: Both, client: servery.Client, echo_folders: tuple[Path, Path]
) -> None:
    client.register(echo_folders[0], name="killed")
    client.deploy("killed", "models:/killed/1", replicas=2)
    report = kill_under_load(both, endpoint="killed", kills=3, every_seconds=1.0, per_second=300, version=1)
    assert len(report.samples) > 500
    assert report.failures == []
    assert report.stale == []
