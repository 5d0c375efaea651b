"""What the calls of MLflow's registry are given: the request messages of ``model_registry.proto``."""

from __future__ import annotations

import msgspec

from servery.registry.published import SEARCH_VERSIONS_MAX


class Tag(msgspec.Struct):
    key: str
    value: str = ""


class Model(msgspec.Struct):
    name: str


class CreateModel(msgspec.Struct):
    name: str
    tags: list[Tag] = []
    description: str = ""


class RenameModel(msgspec.Struct):
    name: str
    new_name: str = ""


class UpdateModel(msgspec.Struct):
    name: str
    description: str = ""


class SearchModels(msgspec.Struct):
    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class LatestVersions(msgspec.Struct):
    name: str
    stages: list[str] = []


class SetModelTag(msgspec.Struct):
    name: str
    key: str
    value: str = ""


class DeleteModelTag(msgspec.Struct):
    name: str
    key: str


class Alias(msgspec.Struct):
    name: str
    alias: str


class SetAlias(msgspec.Struct):
    name: str
    alias: str
    version: str | int
    allow_incompatible: bool = False
    """Ours, for endpoints that follow the alias: MLflow's own client does not send it."""


class CreateVersion(msgspec.Struct):
    name: str
    source: str
    run_id: str = ""
    tags: list[Tag] = []
    run_link: str = ""
    description: str = ""


class Version(msgspec.Struct):
    name: str
    version: str | int


class UpdateVersion(msgspec.Struct):
    name: str
    version: str | int
    description: str = ""


class SearchVersions(msgspec.Struct):
    filter: str = ""
    max_results: int = SEARCH_VERSIONS_MAX
    order_by: list[str] = []
    page_token: str = ""


class SetVersionTag(msgspec.Struct):
    name: str
    version: str | int
    key: str
    value: str = ""


class DeleteVersionTag(msgspec.Struct):
    name: str
    version: str | int
    key: str
