"""Load a model into this very process: from a folder, or from anywhere else through a checked local copy."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servery.client.client import Client
from servery.client.mlflow_server import MlflowServer
from servery.client.package_cache import PackageCache
from servery.client.records import ModelVersion
from servery.client.sources import locate_in_mlflow, locate_object
from servery.config import ClientConfig, load_config, load_mlflow, names_server, object_store_settings
from servery.errors import CallerError, PredictFailed
from servery.names import REGISTERED, ModelUri, UriKind, parse_digest, parse_model_uri

if TYPE_CHECKING:
    from servery.package.reader import LoadedModel


def load_model(uri: str, *, server: str | None = None, home: Path | None = None) -> LoadedModel:
    """The model at any MODEL_URI (see :func:`local_package`); its ``predict`` runs in this process.

    Raises:
        InvalidInput: the URI is none.
        ConfigInvalid: it is one of an MLflow server, and none is named.
        NotFound, RemoteError: the server has no such version, refuses, or does not answer.
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
    from servery_worker.wire import Asked, MediaType, Outcome

    others = {"text/csv": MediaType.CSV, "application/vnd.apache.parquet": MediaType.PARQUET}
    others["application/vnd.apache.arrow.stream"] = MediaType.ARROW
    media_type = others.get(content_type, MediaType.JSON)
    [(outcome, answer, *_)], _ = model.predictor.answer([Asked(media_type, body)])
    if outcome is Outcome.OK:
        return json.loads(answer)
    refused = outcome in (Outcome.BAD_REQUEST, Outcome.INVALID_INPUT)
    raise (CallerError if refused else PredictFailed)(answer.decode(errors="replace"))


def local_package(uri: str, *, server: str | None = None, home: Path | None = None) -> tuple[Path, ModelVersion | None]:
    """A folder on this machine with the package, and the version that it is, if it came from somewhere else.

    ``models:/name/3`` and ``models:/name@alias`` come from the Servery server; from the MLflow server that
    ``MLFLOW_TRACKING_URI`` names where no Servery server is named. What is fetched is kept below ``packages`` of the
    home folder, and fetched anew when what lies there is no longer what came. Raises as :func:`load_model`.
    """
    parsed = parse_model_uri(uri)
    if parsed.kind is UriKind.FOLDER:
        return Path(parsed.folder or ""), None
    flags = {"server": server, "home": home}
    config = load_config(ClientConfig, flags)
    cache = PackageCache(config.home / "packages")
    if not comes_from_servery(parsed, server=server, home=home):
        return _fetch_elsewhere(parsed, cache)
    with Client(config.server) as client:
        version = client.resolve(uri)
        digest = parse_digest(version.digest)
        if not cache.is_whole(digest):
            cache.add(lambda folder: _download(client, uri, folder), digest)
    return cache.folder(digest), version


def comes_from_servery(uri: ModelUri, *, server: str | None = None, home: Path | None = None) -> bool:
    """Whether the Servery server has what the URI names; else it lies in an object store or on an MLflow server."""
    if uri.kind not in REGISTERED:
        return False
    return names_server({"server": server, "home": home}) or load_mlflow().tracking_uri is None


def _download(client: Client, uri: str, folder: Path) -> None:
    client.download(uri, folder)


def _fetch_elsewhere(uri: ModelUri, cache: PackageCache) -> tuple[Path, ModelVersion]:
    with ExitStack() as stack:
        if uri.kind is UriKind.OBJECT_STORE:
            source = locate_object(uri, object_store_settings())
        else:
            source = locate_in_mlflow(uri, stack.enter_context(MlflowServer(load_mlflow())), object_store_settings())
        digest = cache.add_from(source.folder, source.folder.files(), pinned=source.pinned, advance=lambda _count: None)
    version = ModelVersion(source.name, source.number, digest=digest, run_id=source.run_id)
    return cache.folder(digest), version
