"""The client's calls to the registry: models, versions, aliases, tags, packages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from servery.client.packages import Progress, download_package, read_manifest, upload_package
from servery.client.records import BuildLog, ModelVersion, RegisteredModel, read_model, read_version
from servery.client.transport import Transport
from servery.errors import AlreadyExists, InvalidInput, NotFound, RemoteError
from servery.names import (
    REGISTERED,
    ModelUri,
    UriKind,
    parse_alias,
    parse_digest,
    parse_model_name,
    parse_model_uri,
    parse_version,
)
from servery.package.manifest import Manifest

_MLFLOW = "/api/2.0/mlflow"
_SERVERY = "/api/2.0/servery"
_VERSIONS = f"{_SERVERY}/model-versions"
_PACKAGES = "/api/2.0/mlflow-artifacts/artifacts/packages"
_EXAMPLE_BYTES_MAX = 400
"""What still reads well in a terminal."""


class RegistryCalls:
    """What :class:`servery.Client` knows of the registry."""

    def __init__(self, server: Transport, *, move_timeout_seconds: float) -> None:
        self._server = server
        self._move_timeout_seconds = move_timeout_seconds

    def register(
        self,
        path: str | Path,
        name: str,
        alias: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> ModelVersion:
        """Make the package at ``path`` the next version of the model ``name``: a folder, or any MODEL_URI.

        A ``models:/spam/3`` is a version of this very server, whose files are shared; anything else is uploaded.
        What comes back says in ``incompatibilities`` what callers of the version before would miss.

        Raises:
            PackageInvalid: there is no model package, or a file of it is not what was saved.
            ConfigInvalid: it is on an MLflow server, and none is named.
        """
        parse_model_name(name)
        if alias is not None:
            parse_alias(alias)
        source, digest = self._source_of(path, progress)
        with suppress(AlreadyExists):
            self._server.json("POST", f"{_MLFLOW}/registered-models/create", body={"name": name})
        body: dict[str, Any] = {"name": name, "source": source, "description": description or ""}
        body["tags"] = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        created = self._server.json("POST", f"{_MLFLOW}/model-versions/create", body=body)
        version = self.version(name, int(created["model_version"]["version"]))
        if version.digest != digest:
            raise RemoteError(
                f"Version {version.version} of '{name}' arrived damaged: its digest is not that of {path}."
            )
        if alias is not None:
            self.set_alias(name, alias, version.version)
            version = self.version(name, version.version)
        return version

    def _source_of(self, path: str | Path, progress: Progress | None) -> tuple[str, str | None]:
        """What a version can be created from, and the digest that it will have."""
        from servery.client.load import local_package
        from servery.package.mlmodel import read_mlmodel
        from servery.package.seal import checked_manifest

        if isinstance(path, str) and parse_model_uri(path).kind in REGISTERED:
            return path, self.resolve(path).digest
        folder = path if isinstance(path, Path) else local_package(path)[0]
        read_mlmodel(folder)  # First, so that no other folder is read from end to end.
        manifest = checked_manifest(folder)
        return upload_package(self._server, folder, manifest, progress), manifest.digest

    def models(self) -> list[RegisteredModel]:
        """All registered models, by name."""
        return [read_model(fields) for fields in self._pages("registered-models", {"max_results": 1000})]

    def model(self, name: str) -> RegisteredModel:
        query = {"name": parse_model_name(name)}
        return read_model(self._server.json("GET", f"{_MLFLOW}/registered-models/get", query=query)["registered_model"])

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, the oldest first."""
        quoted = parse_model_name(name).replace("'", "\\'")
        aliases: dict[int, list[str]] = {}
        for alias, version in self.model(name).aliases.items():
            aliases.setdefault(version, []).append(alias)
        pages = self._pages("model-versions", {"filter": f"name='{quoted}'", "max_results": 10_000})
        found = [read_version({**fields, "aliases": aliases.get(int(fields["version"]), ())}) for fields in pages]
        return sorted(found, key=lambda version: version.version)

    def version(self, name: str, version: int) -> ModelVersion:
        query = {"name": parse_model_name(name), "version": str(parse_version(version))}
        return read_version(self._server.json("GET", _VERSIONS, query=query))

    def manifest(self, digest: str) -> Manifest:
        """Path, SHA-256 and size of every file of a registered package."""
        return read_manifest(self._server, parse_digest(digest))

    def import_model(self, fields: Mapping[str, Any]) -> None:
        """Make a model that another server has had since ``created_at_ms``. Raises AlreadyExists."""
        self._server.json("POST", f"{_SERVERY}/registered-models/import", body=fields)

    def import_version(
        self, folder: Path, digest: str, fields: Mapping[str, Any], advance: Callable[[int], None]
    ) -> None:
        """Publish the package in ``folder`` under the number, and with all else, that another server gave it.

        ``fields`` are those of ``POST /api/2.0/servery/model-versions/import`` but for the source.

        Raises:
            AlreadyExists: the number is taken, or was once.
            RemoteError: what arrived has another digest than ``digest``.
        """
        from servery.package.manifest import manifest_of_folder

        sent_before = 0

        def progress(sent_bytes: int, _bytes_all: int) -> None:
            nonlocal sent_before
            advance(sent_bytes - sent_before)
            sent_before = sent_bytes

        # The same name each time: what a killed import left is written over.
        upload = f"import-{digest[:32]}"
        source = upload_package(self._server, folder, manifest_of_folder(folder), progress, upload=upload)
        answer = self._server.json("POST", f"{_VERSIONS}/import", body={**fields, "source": source})
        if answer.get("digest") != digest:
            name, number = fields["name"], fields["version"]
            raise RemoteError(f"Version {number} of '{name}' arrived damaged: its digest is not that of the original.")

    def resolve(self, model_uri: str) -> ModelVersion:
        """The version that ``models:/name/3`` or ``models:/name@alias`` means now."""
        uri = registered_uri(model_uri)
        if uri.kind is UriKind.VERSION:
            return self.version(str(uri.name), int(uri.version or 0))
        query = {"name": uri.name, "alias": uri.alias}
        return read_version(self._server.json("GET", _VERSIONS, query=query))

    def input_example(self, model_uri: str) -> str | None:
        """The package's input example as JSON for ``predict``; None where it has none, or none that is short."""
        path = f"{_PACKAGES}/{self.resolve(model_uri).digest}/serving_input_example.json"
        try:
            with self._server.stream("GET", path) as response:
                if int(response.headers.get("Content-Length", _EXAMPLE_BYTES_MAX + 1)) > _EXAMPLE_BYTES_MAX:
                    return None
                request = json.loads(response.read())
        except (NotFound, ValueError):
            return None
        bare = isinstance(request, dict) and set(request) == {"inputs"} and isinstance(request["inputs"], list)
        return json.dumps(request["inputs"] if bare else request, ensure_ascii=False)

    def build_logs(self, name: str, version: int) -> list[BuildLog]:
        """In which environment each gateway runs the version, and how that was made; the newest first."""
        digest = parse_digest(self.version(name, version).digest)
        answer = self._server.json("GET", f"/api/2.0/servery/packages/{digest}/build-logs")
        return [BuildLog(log["gateway"], log["text"], log["at_ms"]) for log in answer["build_logs"]]

    def put_check(self, digest: str, report: Mapping[str, Any]) -> None:
        """Keep the report of a check with the versions that have this package."""
        self._server.json("PUT", f"/api/2.0/servery/packages/{parse_digest(digest)}/check", body=report)

    def set_alias(self, name: str, alias: str, version: int, *, allow_incompatible: bool = False) -> None:
        """Point the alias at the version; answers when every endpoint that follows it has moved, or failed to.

        The server waits a minute for them at most: ``endpoint(name).update`` tells, and ``wait(name)`` waits on.
        It refuses (RemoteError, INVALID_STATE) to move an endpoint to a version that its callers cannot call,
        unless ``allow_incompatible`` insists.
        """
        body: dict[str, Any] = {"name": parse_model_name(name), "alias": parse_alias(alias)}
        body |= {"version": str(parse_version(version)), "allow_incompatible": allow_incompatible}
        self._move("POST", f"{_MLFLOW}/registered-models/alias", body)

    def delete_alias(self, name: str, alias: str) -> None:
        body = {"name": parse_model_name(name), "alias": parse_alias(alias)}
        self._move("DELETE", f"{_MLFLOW}/registered-models/alias", body)

    def set_tag(self, name: str, key: str, value: str, *, version: int | None = None) -> None:
        """Tag a model, or one version of it."""
        self._tag("POST", "set-tag", name, version, {"key": key, "value": value})

    def delete_tag(self, name: str, key: str, *, version: int | None = None) -> None:
        self._tag("DELETE", "delete-tag", name, version, {"key": key})

    def set_description(self, name: str, description: str, *, version: int | None = None) -> None:
        """Describe a model, or one version of it."""
        body = {"name": parse_model_name(name), "description": description}
        if version is not None:
            body["version"] = str(parse_version(version))
        kind = "registered-models" if version is None else "model-versions"
        self._server.json("PATCH", f"{_MLFLOW}/{kind}/update", body=body)

    def delete_version(self, name: str, version: int) -> None:
        """Its number is never used again. Refused while an endpoint serves it."""
        body = {"name": parse_model_name(name), "version": str(parse_version(version))}
        self._server.json("DELETE", f"{_MLFLOW}/model-versions/delete", body=body)

    def delete_model(self, name: str) -> None:
        """The model with all its versions. Refused while an endpoint serves one."""
        self._server.json("DELETE", f"{_MLFLOW}/registered-models/delete", body={"name": parse_model_name(name)})

    def download(self, model_uri: str, folder: str | Path) -> Path:
        """Fetch a registered package into ``folder``, which must not exist yet; every file is checked.

        Raises:
            InvalidInput: the folder exists.
        """
        target = Path(folder)
        if target.exists():
            raise InvalidInput("folder", expected="a folder that does not exist yet", got=str(target))
        download_package(self._server, parse_digest(self.resolve(model_uri).digest), target)
        return target

    def _move(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        self._server.json(method, path, body=body, timeout_seconds=self._move_timeout_seconds)

    def _tag(self, method: str, verb: str, name: str, version: int | None, fields: Mapping[str, str]) -> None:
        body = {"name": parse_model_name(name), **fields}
        if version is not None:
            body["version"] = str(parse_version(version))
        kind = "registered-models" if version is None else "model-versions"
        self._server.json(method, f"{_MLFLOW}/{kind}/{verb}", body=body)

    def _pages(self, kind: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = {**query, "page_token": token} if token else query
            answer = self._server.json("GET", f"{_MLFLOW}/{kind}/search", query=page)
            found.extend(answer.get(kind.replace("-", "_")) or ())
            token = answer.get("next_page_token") or ""
            if not token:
                return found


def registered_uri(model_uri: str) -> ModelUri:
    uri = parse_model_uri(model_uri)
    if uri.kind not in REGISTERED:
        raise InvalidInput(
            "MODEL_URI",
            expected="a registered model such as models:/spam/1 ('servery register' registers any other first)",
            got=model_uri,
        )
    return uri
