"""From a MODEL_URI of another place to the folder of files that it means there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from servery.client.artifact_folders import ArtifactFolder, LocalFolder, ProxiedFolder
from servery.client.mlflow_server import ARTIFACTS, MlflowServer
from servery.client.object_store import ObjectFolder
from servery.errors import InvalidInput, RemoteError
from servery.names import ModelUri, UriKind, parse_model_uri


@dataclass(frozen=True, slots=True)
class Source:
    """A package somewhere else: its files, and what the model is called where people read it.

    A ``pinned`` one is a version or a logged model, which nobody writes again.
    """

    folder: ArtifactFolder
    name: str
    number: int = 1
    run_id: str = ""
    pinned: bool = False


def locate_object(uri: ModelUri, settings: Mapping[str, str]) -> Source:
    """``s3://…`` and the like; ``settings`` as :class:`ObjectFolder` takes them."""
    return Source(ObjectFolder(uri.text, settings), _last(uri.path))


def locate_in_mlflow(uri: ModelUri, server: MlflowServer, settings: Mapping[str, str]) -> Source:
    """What a URI of any other kind but a folder means on this MLflow server.

    Raises:
        NotFound: the server has no such version, run or logged model.
        RemoteError: it refuses or does not answer, or keeps the files where they cannot be reached from here.
    """
    match uri.kind:
        case UriKind.VERSION | UriKind.ALIAS:
            return _registered(uri, server, settings)
        case UriKind.LOGGED_MODEL:
            info = server.logged_model(str(uri.model_id))["info"]
            folder = open_location(str(info.get("artifact_uri") or ""), server, settings)
            run_id = str(info.get("source_run_id") or "")
            return Source(folder, str(info.get("name") or uri.model_id), run_id=run_id, pinned=True)
        case UriKind.RUN:
            return _of_run(uri, server, settings)
        case _:
            return Source(open_location(uri.text, server, settings), _last(uri.path))


def open_location(artifact_uri: str, server: MlflowServer, settings: Mapping[str, str]) -> ArtifactFolder:
    """The folder at an artifact URI that the server named.

    Raises:
        RemoteError: it is none that can be reached from this machine.
    """
    tracking = server.tracking
    proxied = f"{tracking.server}{ARTIFACTS}/"
    if artifact_uri.startswith(proxied):  # An artifact root may be written as the address of the proxy.
        artifact_uri = f"mlflow-artifacts:/{unquote(artifact_uri.removeprefix(proxied))}"
    try:
        uri = parse_model_uri(artifact_uri)
    except InvalidInput:
        uri = None
    if uri is not None and uri.kind is UriKind.ARTIFACTS and uri.authority in {None, tracking.authority}:
        return ProxiedFolder(server, str(uri.path))
    if uri is not None and uri.kind is UriKind.OBJECT_STORE:
        return ObjectFolder(uri.text, settings)
    if uri is not None and uri.kind is UriKind.FOLDER and (folder := Path(str(uri.folder))).is_absolute():
        return LocalFolder(folder, tracking.server)
    where = artifact_uri.partition("?")[0].rpartition("@")[2][:200]
    raise RemoteError(f"{tracking.server} keeps these artifacts at '{where}', which cannot be read from here.")


def _registered(uri: ModelUri, server: MlflowServer, settings: Mapping[str, str]) -> Source:
    name = str(uri.name)
    if uri.kind is UriKind.VERSION:
        version = server.version(name, int(uri.version or 0))
    else:
        version = server.version_by_alias(name, str(uri.alias))
    folder = open_location(server.download_uri(name, version.number), server, settings)
    return Source(folder, name, version.number, version.run_id, pinned=True)


def _of_run(uri: ModelUri, server: MlflowServer, settings: Mapping[str, str]) -> Source:
    """MLflow 3 keeps a run's models as logged models, found by their names; MLflow 2 among the run's own artifacts."""
    run_id, path = str(uri.run_id), str(uri.path)
    info = server.run(run_id)["info"]
    name, _, rest = path.partition("/")
    model = server.logged_model_of_run(run_id, str(info.get("experiment_id") or ""), name)
    root = str((info if model is None else model["info"]).get("artifact_uri") or "")
    below = path if model is None else rest
    location = f"{root.rstrip('/')}/{below}" if below else root
    return Source(open_location(location, server, settings), _last(path), run_id=run_id, pinned=model is not None)


def _last(path: str | None) -> str:
    return (path or "").rpartition("/")[2] or "model"
