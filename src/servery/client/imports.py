"""``servery import``: models of an MLflow server with their versions, aliases, tags and lineage, into a Servery server.

First :meth:`Importer.plan` looks at both sides, then :meth:`Importer.run` does it, version by version: fetch the
package, check it, upload it, publish it under its number. A version is there whole or not at all, so an import that was
stopped at any moment goes on when it is started again, and one that is done changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from servery.client.client import Client
from servery.client.import_plan import (
    Change,
    ChangeKind,
    ModelPlan,
    Outcome,
    VersionPlan,
    difference,
    model_changes,
    split_tags,
    version_changes,
    version_tags,
)
from servery.client.lineage import LineageReader
from servery.client.mlflow_server import MlflowServer, SourceModel, SourceVersion
from servery.client.mlflow_transport import Advance
from servery.client.package_cache import PackageCache
from servery.client.records import ModelVersion, RegisteredModel
from servery.client.sources import open_location
from servery.errors import AlreadyExists, ModelError, NotFound, RemoteError, ServeryError, Unreachable
from servery.names import Digest, parse_digest, parse_model_name

_PLANS_AT_ONCE = 4
_PUBLISHED = "READY"

OnVersion = Callable[[VersionPlan], None]
"""Told each version before it is imported."""


class ImportIncomplete(RemoteError):
    """Something was not imported; what could be, is."""

    def __init__(self, problems: int) -> None:
        what = "1 model or version was" if problems == 1 else f"{problems} models or versions were"
        super().__init__(f"{what} not imported, for the reasons above; mend them and run it again.")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Importer:
    """Brings what ``source`` has to ``target``; packages lie in ``cache`` on their way, and are removed from it.

    All methods raise Unreachable when one of the two servers does not answer any more: then the rest would fail too.
    """

    source: MlflowServer
    target: Client
    cache: PackageCache
    settings: Mapping[str, str] = field(repr=False)
    """How object stores are reached, see ``config.object_store_settings``."""

    def plan(self, names: Iterable[str] = (), *, verify: bool = False) -> list[ModelPlan]:
        """Look at these models, or at all but prompts. With ``verify`` what is here already is fetched and compared.

        Raises:
            NotFound: the source has no model of such a name.
        """
        wanted = list(dict.fromkeys(names))
        models = [self.source.model(name) for name in wanted] if wanted else self.source.models()
        with ThreadPoolExecutor(_PLANS_AT_ONCE, thread_name_prefix="plan") as pool:
            return [self._plan_model(pool, model, verify) for model in models if wanted or not model.is_prompt]

    def run(self, plans: Iterable[ModelPlan], *, advance: Advance, on_version: OnVersion) -> list[ModelPlan]:
        """Do what was planned; the plans with what became of each version. ``advance`` counts each byte twice.

        A model or version that cannot be imported is told of in its plan, and the others go on.
        """
        lineage = LineageReader(self.source)
        done = [self._run_model(plan, lineage, advance, on_version) for plan in plans]
        self.cache.remove_all()
        return done

    # Looking.

    def _plan_model(self, pool: ThreadPoolExecutor, model: SourceModel, verify: bool) -> ModelPlan:
        try:
            parse_model_name(model.name)
            if model.is_prompt:
                return ModelPlan(model, is_new=False, problem="it is a prompt, and no model.")
            found = self._found(model.name)
            here = {} if found is None else {version.version: version for version in self.target.versions(model.name)}
            versions = self.source.versions(model.name)
        except Unreachable:
            raise
        except ServeryError as error:
            return ModelPlan(model, is_new=False, problem=error.message)

        def plan(version: SourceVersion) -> VersionPlan:
            return self._plan_version(version, here.get(version.number), verify)

        return ModelPlan(model, found is None, tuple(pool.map(plan, versions)), model_changes(model, found))

    def _found(self, name: str) -> RegisteredModel | None:
        with suppress(NotFound):
            return self.target.model(name)
        return None

    def _plan_version(self, version: SourceVersion, here: ModelVersion | None, verify: bool) -> VersionPlan:
        if here is None and version.status != _PUBLISHED:
            return VersionPlan(version, Outcome.SKIPPED, f"the server has it as {version.status}.")
        changes = version_changes(version, here)
        try:
            artifacts = self.source.download_uri(version.name, version.number)
            folder = open_location(artifacts, self.source, self.settings)
            plan = VersionPlan(version, Outcome.NEW, "", folder, artifacts, folder.files(), changes)
        except Unreachable:
            raise
        except ServeryError as error:
            if here is None:
                return VersionPlan(version, Outcome.FAILED, error.message)
            return VersionPlan(version, Outcome.SAME, f"not compared: {error.message}", changes=changes)
        return plan if here is None else self._compared(plan, verify)

    def _compared(self, plan: VersionPlan, verify: bool) -> VersionPlan:
        version = plan.version
        digest = parse_digest(self.target.version(version.name, version.number).digest)
        problem = difference(plan.files, self.target.manifest(digest))
        if problem is None and verify:
            there = self._fetch(plan, lambda _count: None)
            problem = None if there == digest else f"its digest is {digest[:16]} here and {there[:16]} there"
            self.cache.remove(there)
        if problem is None:
            return replace(plan, outcome=Outcome.SAME, files=())
        message = f"another package is registered as version {version.number} here: {problem}."
        return replace(plan, outcome=Outcome.FAILED, message=message, files=(), changes=())

    # Doing.

    def _run_model(self, plan: ModelPlan, lineage: LineageReader, advance: Advance, on_version: OnVersion) -> ModelPlan:
        if plan.problem:
            return plan
        try:
            if plan.is_new:
                self._make_model(plan.model)
        except Unreachable:
            raise
        except ServeryError as error:
            return replace(plan, problem=error.message)
        versions = []
        for version in plan.versions:
            if version.outcome is Outcome.NEW:
                on_version(version)
                versions.append(self._bring(version, lineage, advance))
            else:
                versions.append(version)
        done = replace(plan, versions=tuple(versions))
        missing = {version.version.number for version in versions if version.outcome is Outcome.FAILED}
        made, problem = self._change(plan.model.name, done.all_changes, missing)
        told = tuple(replace(version, changes=()) for version in versions)
        return replace(done, versions=told, changes=made, problem=problem)

    def _make_model(self, model: SourceModel) -> None:
        body = {
            "name": model.name,
            "description": model.description,
            "tags": _tags(split_tags(model.tags)[0]),
            "created_at_ms": model.created_at_ms,
        }
        with suppress(AlreadyExists):
            self.target.import_model(body)

    def _bring(self, plan: VersionPlan, lineage: LineageReader, advance: Advance) -> VersionPlan:
        version = plan.version
        try:
            digest = self._fetch(plan, advance)
            body = {
                "name": version.name,
                "version": str(version.number),
                "description": version.description,
                "run_id": version.run_id,
                "run_link": version.run_link,
                "created_at_ms": version.created_at_ms,
                "tags": _tags(split_tags(version_tags(version))[0]),
                "lineage": lineage.read(version, plan.artifacts),
            }
            self.target.import_version(self.cache.folder(digest), digest, body, advance)
        except Unreachable:
            raise
        except ServeryError as error:
            return replace(plan, outcome=Outcome.FAILED, message=error.message, changes=())
        self.cache.remove(digest)
        return replace(plan, outcome=Outcome.IMPORTED)

    def _fetch(self, plan: VersionPlan, advance: Advance) -> Digest:
        if plan.folder is None:
            raise ModelError("There is no folder to fetch it from.")
        return self.cache.add_from(plan.folder, plan.files, pinned=True, advance=advance)

    def _change(self, name: str, changes: Iterable[Change], missing: set[int]) -> tuple[tuple[Change, ...], str]:
        """The changes that could be made; and why others could not, in sentences."""
        made: list[Change] = []
        problems: list[str] = []
        for change in changes:
            if change.kind is ChangeKind.ALIAS and int(change.value or 0) in missing:
                problems.append(f"alias {change.key} is not set, for version {change.value} was not imported.")
                continue
            try:
                self._change_one(name, change)
                made.append(change)
            except Unreachable:
                raise
            except ServeryError as error:
                problems.append(f"{change}: {error.message}")
        return tuple(made), " ".join(problems)

    def _change_one(self, name: str, change: Change) -> None:
        match change.kind:
            case ChangeKind.ALIAS:
                self.target.set_alias(name, change.key, int(change.value or 0))
            case ChangeKind.DESCRIPTION:
                self.target.set_description(name, change.value or "", version=change.version)
            case ChangeKind.TAG if change.value is None:
                self.target.delete_tag(name, change.key, version=change.version)
            case ChangeKind.TAG:
                self.target.set_tag(name, change.key, change.value, version=change.version)


@contextmanager
def import_cache(home: Path) -> Iterator[PackageCache]:
    """The home's place for packages on their way, for one import at a time.

    Raises:
        HomeUnusable: another import is at work in this home, or it cannot be written.
    """
    cache = PackageCache(home / "imports")
    with cache.alone("Another 'servery import' is at work in this home folder; name another with --home."):
        yield cache


def problems_of(plans: Iterable[ModelPlan]) -> list[str]:
    return [problem for plan in plans for problem in plan.problems]


def _tags(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
