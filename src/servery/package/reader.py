"""A model package loaded into this process, with the same code that a worker uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servery.errors import LoadFailed
from servery.package.mlmodel import MLmodel, read_mlmodel
from servery.package.seal import SEAL_FILE, checked_manifest
from servery_worker.files import import_sources_only
from servery_worker.predictor import LoadError, Predictor, load
from servery_worker.schema import Signature


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to predict here. It runs the package's own code: load only what you trust."""

    predictor: Predictor
    mlmodel: MLmodel

    @property
    def signature(self) -> Signature | None:
        return self.mlmodel.signature

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The model's own output for ``data``, after the signature's enforcement.

        Raises:
            Exception: whatever the model raises; an input that breaks the signature is a ValueError.
        """
        return self.predictor.predict(data, None if params is None else dict(params))


def load_folder(folder: Path, *, checked: bool = False) -> LoadedModel:
    """Load the package in ``folder``; ``checked`` says that its files have been held against their digest already.

    Raises:
        PackageInvalid: the MLmodel file cannot be read, or a file is not what the package's seal says.
        LoadFailed: the model cannot be loaded here.
    """
    mlmodel = read_mlmodel(folder)
    if not checked and (folder / SEAL_FILE).exists():
        checked_manifest(folder)
    # A folder that was used in place may have bytecode, which no seal covers.
    import_sources_only(str(folder.absolute()))
    try:
        return LoadedModel(load(str(folder.absolute()), mlmodel.fields), mlmodel)
    except LoadError as error:
        raise LoadFailed(f"The model in '{folder.name}'", str(error)) from error
