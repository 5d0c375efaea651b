"""The seal of a package: ``manifest.json``, written last by ``save_model``, with every other file as it was saved.

Whoever takes a folder in holds its files against the seal. It finds damage, not malice: who changes a file can write
the seal anew. Packages that a stock mlflow saved have none, and stock mlflow takes no notice of it.
"""

from __future__ import annotations

import json
from pathlib import Path

from servery.errors import InvalidInput, PackageInvalid
from servery.package.manifest import MANIFEST_BYTES_MAX, Manifest, decode_entry, make_manifest, manifest_of_folder

SEAL_FILE = "manifest.json"
_ADDED_LATER = frozenset({"registered_model_meta"})
"""What MLflow's client writes into a registered model that it downloads."""
_MEANT = f"if that was meant, delete {SEAL_FILE}"


def seal(folder: Path) -> None:
    """Write the seal of what lies in ``folder`` now."""
    (folder / SEAL_FILE).write_bytes(encode_seal(manifest_of_folder(folder)))


def encode_seal(manifest: Manifest) -> bytes:
    """Its own digest stands in it, so that damage to the seal is not taken for damage to another file."""
    fields = {"digest": manifest.digest, **json.loads(manifest.encode())}
    return json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"


def checked_manifest(folder: Path) -> Manifest:
    """The manifest of a package's folder, held against its seal where it has one.

    Raises:
        PackageInvalid: as :func:`manifest_of_folder`, or a file is missing, changed or added; it is named.
    """
    manifest = manifest_of_folder(folder)
    if any(file.path == SEAL_FILE for file in manifest.files):
        with (folder / SEAL_FILE).open("rb") as file:
            check_seal(manifest, file.read(MANIFEST_BYTES_MAX + 1))
    return manifest


def check_seal(manifest: Manifest, body: bytes) -> None:
    """Hold the files of a package against ``body``, its seal.

    Raises:
        PackageInvalid: the seal is damaged, or a file is missing, changed or added; it is named.
    """
    sealed = {file.path: file for file in _decode_seal(body).files}
    found = {file.path: file for file in manifest.files if file.path != SEAL_FILE}
    for path in sorted({*sealed, *found}):
        if path not in found:
            raise PackageInvalid(f"The package lacks the file '{path}' that {SEAL_FILE} lists; {_MEANT}.")
        if path not in sealed and path not in _ADDED_LATER:
            raise PackageInvalid(f"The package has the file '{path}' that {SEAL_FILE} does not list; {_MEANT}.")
        if path in sealed and found[path] != sealed[path]:
            raise PackageInvalid(f"The package's file '{path}' is not what was saved; {_MEANT}.")


def _decode_seal(body: bytes) -> Manifest:
    try:
        manifest = make_manifest([decode_entry(entry) for entry in json.loads(body)["files"]])
        is_whole = len(body) <= MANIFEST_BYTES_MAX and encode_seal(manifest) == body
    except (ValueError, TypeError, KeyError, RecursionError, InvalidInput, PackageInvalid):
        is_whole = False
    if not is_whole:
        raise PackageInvalid(f"The package's file '{SEAL_FILE}' is not what was saved; {_MEANT}.")
    return manifest
