"""What the watched server processes of a run have done; see ``hook/sitecustomize.py``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.audit.hook.sitecustomize import FOLDER_VARIABLE

HOOK = Path(__file__).parent / "hook"


def watching(records: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that have every server process below watched, its records in the folder ``records``."""
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(HOOK)]
    return {FOLDER_VARIABLE: str(records), "PYTHONPATH": os.pathsep.join([str(HOOK), *paths])}


def watched(records: Path) -> list[str]:
    """The roles of the processes that were watched: ``control``, ``gateway``, …"""
    return sorted(record.name.partition("-")[0] for record in records.iterdir())


def violations(records: Path) -> list[str]:
    """Each with the command of the process that did it."""
    found = []
    for record in sorted(records.iterdir()):
        command, *lines = record.read_text().splitlines()
        found += [f"{command}: {line}" for line in lines]
    return found
