"""Load a model into this very process: from a folder, or from the registry through a checked local copy."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servery.client.client import Client
from servery.client.records import ModelVersion
from servery.config import ClientConfig, load_config
from servery.errors import CallerError, PackageInvalid, PredictFailed
from servery.names import UriKind, parse_model_uri

if TYPE_CHECKING:
    from servery.package.reader import LoadedModel


def load_model(uri: str, *, server: str | None = None, home: Path | None = None) -> LoadedModel:
    """The model at a folder, ``models:/name/3`` or ``models:/name@alias``; its ``predict`` runs in this process.

    Raises:
        InvalidInput: the URI is none.
        RemoteError: the server has no such version, or does not answer.
        PackageInvalid: the package cannot be read.
        LoadFailed: the model does not load.
    """
    from servery.package.reader import load_folder

    folder, version = local_package(uri, server=server, home=home)
    return load_folder(folder, checked=version is not None)


def answer_here(model: LoadedModel, body: bytes, content_type: str) -> Any:
    """What a server would answer a scoring request with, from a model in this process.

    Raises:
        CallerError: the request is none, or breaks the signature.
        PredictFailed: the model raised.
    """
    from servery_worker.wire import MediaType, Outcome

    others = {"text/csv": MediaType.CSV, "application/vnd.apache.parquet": MediaType.PARQUET}
    media_type = others.get(content_type, MediaType.JSON)
    [(outcome, answer, _)], _ = model.predictor.answer([(media_type, 0, body)])
    if outcome is Outcome.OK:
        return json.loads(answer)
    refused = outcome in (Outcome.BAD_REQUEST, Outcome.INVALID_INPUT)
    raise (CallerError if refused else PredictFailed)(answer.decode(errors="replace"))


def local_package(uri: str, *, server: str | None = None, home: Path | None = None) -> tuple[Path, ModelVersion | None]:
    """A folder on this machine with the package, and the version that it is, if it came from the registry.

    A registered package is fetched once, into ``packages/<digest>`` of the home folder; and anew when what lies there
    is no longer what was registered.
    """
    parsed = parse_model_uri(uri)
    if parsed.kind is UriKind.FOLDER:
        return Path(parsed.folder or ""), None
    config = load_config(ClientConfig, {"server": server, "home": home})
    with Client(config.server) as client:
        version = client.resolve(uri)
        folder = config.home / "packages" / str(version.digest)
        if not _is_whole(folder, version.digest):
            _fetch(client, uri, folder)
    return folder, version


def _is_whole(folder: Path, digest: str | None) -> bool:
    from servery.package.manifest import manifest_of_folder

    try:
        return folder.is_dir() and manifest_of_folder(folder).digest == digest
    except PackageInvalid:
        return False


def _fetch(client: Client, uri: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside its place and then renamed: whoever finds the folder finds all of it.
    partial = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
    try:
        client.download(uri, partial / "package")
        with suppress(FileNotFoundError):
            folder.rename(partial / "damaged")
        try:
            (partial / "package").rename(folder)
        except OSError:
            if not folder.is_dir():  # Another process that fetched the same package may have been first.
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
