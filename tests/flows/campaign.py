"""``make flows``: a gigabyte of Arrow through an identity model, by a caller that reads meanwhile, and what it took."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.flows.measure import BATCH_BYTES, Watch, flow, save_identity
from tests.servers import serving

BATCHES = (1 << 30) // BATCH_BYTES
GROWTH_MAX = 8 * BATCH_BYTES
"""A few record batches, for each of the two processes."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with serving(save_identity(root / "identity"), root / "home") as server, Watch(server) as memory:
            seconds = flow(server, BATCHES)
    sys.stdout.write(f"{BATCHES} record batches of {BATCH_BYTES >> 20} MiB in {seconds} s\n")
    for name, start, growth in (
        ("gateway", memory.gateway_start, memory.gateway_growth),
        ("worker", memory.worker_start, memory.worker_growth),
    ):
        sys.stdout.write(f"{name}: {start >> 20} MiB at the start, {growth >> 20} MiB more at most\n")
    return int(max(memory.gateway_growth, memory.worker_growth) > GROWTH_MAX)


if __name__ == "__main__":
    sys.exit(main())
