"""A package that ``servery serve`` was given as a folder."""

from __future__ import annotations

from pathlib import Path

from servery.package.manifest import Manifest
from servery.routing import PoolSpec


class FolderPackage:
    """One package in a folder of the user's: ``servery serve`` reads it where it lies."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest

    async def fetch(self, spec: PoolSpec) -> tuple[Path, Manifest]:  # noqa: ARG002
        return self._folder, self._manifest

    def remove(self, spec: PoolSpec) -> None:
        """The folder is the user's: nothing of it is ever removed."""
