"""What an MLflow server has, as records: registered models, versions, runs, logged models, artifacts.

Written against the REST API of release 3.17; servers of MLflow 2 answer the same but for logged models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import quote

from servery.client.mlflow_transport import MlflowTransport
from servery.config import MlflowConfig
from servery.errors import ConfigInvalid, InvalidInput, NotFound, RemoteError

_MLFLOW = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
PROMPT_TAG = "mlflow.prompt.is_prompt"
"""MLflow keeps prompts as registered models with this tag."""
_MODELS_PAGE, _VERSIONS_PAGE = 100, 1000
_PAGES_MAX = 10_000

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """A version as an MLflow server tells it. Times are milliseconds since the Unix epoch."""

    name: str
    number: int
    status: str
    source: str
    description: str = ""
    run_id: str = ""
    run_link: str = ""
    stage: str = ""
    """Staging, Production or Archived; empty for none."""
    created_at_ms: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def model_id(self) -> str | None:
        """The logged model that it was made from, where its source says so."""
        rest = self.source.removeprefix("models:/")
        return rest if rest != self.source and rest.startswith("m-") and "/" not in rest else None


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A registered model as an MLflow server tells it."""

    name: str
    description: str = ""
    created_at_ms: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_prompt(self) -> bool:
        return self.tags.get(PROMPT_TAG, "").lower() == "true"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """An entry of a folder of artifacts; ``name`` is as the server wrote it, and not checked yet."""

    name: str
    is_folder: bool
    size_bytes: int | None


def _in_form(method: Callable[Arguments, ResultT]) -> Callable[Arguments, ResultT]:
    """Turns what an answer of another form leads to into a RemoteError."""

    @wraps(method)
    def checked(*arguments: Arguments.args, **named: Arguments.kwargs) -> ResultT:
        try:
            return method(*arguments, **named)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RemoteError("The MLflow server gave an answer that is not in MLflow's form.") from None

    return checked


class MlflowServer:
    """An MLflow server: ``tracking`` has runs and artifacts, ``registry`` the models; mostly they are one.

    May be used from several threads. All methods raise as :class:`MlflowTransport`.
    """

    def __init__(self, config: MlflowConfig, address: str | None = None) -> None:
        """``address`` instead of those that the config names. Raises ConfigInvalid when nothing names one."""
        tracking, registry = address or config.tracking_uri, address or config.registry_uri or config.tracking_uri
        if tracking is None or registry is None:
            raise ConfigInvalid("No MLflow server is named; set MLFLOW_TRACKING_URI to its http(s) address.")
        self.tracking = MlflowTransport(tracking, config)
        self.registry = self.tracking if registry == tracking else MlflowTransport(registry, config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.tracking.close()
        self.registry.close()

    @_in_form
    def models(self) -> list[SourceModel]:
        """All registered models, by name; prompts among them where the server tells of them."""
        query = {"max_results": _MODELS_PAGE}
        return [_model(fields) for fields in self._pages("registered-models", query)]

    @_in_form
    def model(self, name: str) -> SourceModel:
        answer = self.registry.json("GET", f"{_MLFLOW}/registered-models/get", query={"name": name})
        return _model(answer["registered_model"])

    @_in_form
    def versions(self, name: str) -> list[SourceVersion]:
        """All versions of a model that were not deleted, by number."""
        mark = '"' if "'" in name else "'"
        if mark in name:
            raise InvalidInput(
                "name", expected="a name without both kinds of quotes, which MLflow cannot find", got=name
            )
        query = {"filter": f"name={mark}{name}{mark}", "max_results": _VERSIONS_PAGE}
        found = [_version(fields) for fields in self._pages("model-versions", query)]
        return sorted((version for version in found if version.name == name), key=lambda version: version.number)

    @_in_form
    def version(self, name: str, number: int) -> SourceVersion:
        query = {"name": name, "version": str(number)}
        return _version(self.registry.json("GET", f"{_MLFLOW}/model-versions/get", query=query)["model_version"])

    @_in_form
    def version_by_alias(self, name: str, alias: str) -> SourceVersion:
        query = {"name": name, "alias": alias}
        return _version(self.registry.json("GET", f"{_MLFLOW}/registered-models/alias", query=query)["model_version"])

    def download_uri(self, name: str, number: int) -> str:
        """Where the files of a version lie."""
        query = {"name": name, "version": str(number)}
        answer = self.registry.json("GET", f"{_MLFLOW}/model-versions/get-download-uri", query=query)
        return str(answer.get("artifact_uri") or "")

    @_in_form
    def run(self, run_id: str) -> dict[str, Any]:
        """The run as MLflow's message: ``info`` and ``data``."""
        run: dict[str, Any] = self.tracking.json("GET", f"{_MLFLOW}/runs/get", query={"run_id": run_id})["run"]
        return run

    @_in_form
    def experiment(self, experiment_id: str) -> dict[str, Any]:
        query = {"experiment_id": experiment_id}
        found: dict[str, Any] = self.tracking.json("GET", f"{_MLFLOW}/experiments/get", query=query)["experiment"]
        return found

    @_in_form
    def logged_model(self, model_id: str) -> dict[str, Any]:
        """The logged model as MLflow's message: ``info`` and ``data``."""
        answer = self.tracking.json("GET", f"{_MLFLOW}/logged-models/{quote(model_id, safe='')}")
        model: dict[str, Any] = answer["model"]
        return model

    @_in_form
    def logged_model_of_run(self, run_id: str, experiment_id: str, name: str) -> dict[str, Any] | None:
        """The logged model with this name that the run made; None where there is none, or the server knows of none.

        Searched as MLflow's ``RunsArtifactRepository`` does, which finds no models by their run either.
        """
        if "'" in name:
            return None
        body: dict[str, Any] = {"experiment_ids": [experiment_id], "filter": f"name = '{name}'"}
        try:
            for _ in range(_PAGES_MAX):
                answer = self.tracking.json("POST", f"{_MLFLOW}/logged-models/search", body=body)
                for model in answer.get("models") or ():
                    if model["info"].get("source_run_id") == run_id:
                        found: dict[str, Any] = model
                        return found
                body["page_token"] = answer.get("next_page_token")
                if not body["page_token"]:
                    return None
        except NotFound:  # MLflow 2 has no logged models.
            return None
        return None

    @_in_form
    def list_artifacts(self, path: str) -> list[ListedFile]:
        """The entries of one folder of the server's artifacts."""
        answer = self.tracking.json("GET", ARTIFACTS, query={"path": path})
        return [
            ListedFile(
                str(entry.get("path")),
                bool(entry.get("is_dir")),
                None if entry.get("file_size") is None else int(entry["file_size"]),
            )
            for entry in answer.get("files") or ()
        ]

    def _pages(self, kind: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        token = ""
        for _ in range(_PAGES_MAX):
            page = {**query, "page_token": token} if token else query
            answer = self.registry.json("GET", f"{_MLFLOW}/{kind}/search", query=page)
            yield from answer.get(kind.replace("-", "_")) or ()
            token = answer.get("next_page_token") or ""
            if not token:
                return


def pairs(entries: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    """MLflow's ``[{"key", "value"}]`` as a mapping."""
    return {str(entry["key"]): str(entry.get("value") or "") for entry in entries or () if "key" in entry}


def _model(fields: Mapping[str, Any]) -> SourceModel:
    return SourceModel(
        name=str(fields["name"]),
        description=str(fields.get("description") or ""),
        created_at_ms=int(fields.get("creation_timestamp") or 0),
        tags=pairs(fields.get("tags")),
        aliases={str(entry["alias"]): int(entry["version"]) for entry in fields.get("aliases") or ()},
    )


def _version(fields: Mapping[str, Any]) -> SourceVersion:
    stage = str(fields.get("current_stage") or "")
    return SourceVersion(
        name=str(fields["name"]),
        number=int(fields["version"]),
        status=str(fields.get("status") or "READY"),
        source=str(fields.get("source") or ""),
        description=str(fields.get("description") or ""),
        run_id=str(fields.get("run_id") or ""),
        run_link=str(fields.get("run_link") or ""),
        stage="" if stage.lower() == "none" else stage,
        created_at_ms=int(fields.get("creation_timestamp") or 0),
        tags=pairs(fields.get("tags")),
    )
