from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import IntegrityError

from servery.db.engine import writing
from servery.db.registry_tables import AliasRow, VersionRow
from servery.errors import InvalidInput, NotFound, PackageInvalid
from servery.names import Alias, ModelName, Version
from servery.registry.service import Registry

SPAM = ModelName("spam")
CHAMPION = Alias("champion")
Upload = Callable[..., str]


@pytest.fixture(autouse=True)
def _model(registry: Registry) -> None:
    registry.create_model(SPAM)


def test_versions_are_numbered_from_1(registry: Registry, upload: Upload) -> None:
    assert [registry.create_version(SPAM, upload()).version for _ in range(3)] == [1, 2, 3]


def test_a_version_is_the_files_as_they_were(registry: Registry, upload: Upload) -> None:
    version = registry.create_version(SPAM, upload(weights=b"first"))
    upload(weights=b"second")
    registry.delete_artifacts("uploads/1/MLmodel")

    manifest = registry.manifest(version.digest)
    assert [file.path for file in manifest.files] == ["MLmodel", "model.pkl"]
    assert manifest.digest == version.digest
    with registry.open_artifact(f"packages/{version.digest}/model.pkl").file as file:
        assert file.read() == b"first"


def test_equal_files_have_an_equal_digest(registry: Registry, upload: Upload) -> None:
    first = registry.create_version(SPAM, upload("uploads/1"))
    second = registry.create_version(SPAM, upload("uploads/2"))
    other = registry.create_version(SPAM, upload("uploads/3", weights=b"other"))

    assert first.digest == second.digest != other.digest


def test_only_the_folder_of_the_source_is_published(registry: Registry, upload: Upload) -> None:
    source = upload("uploads/1")
    upload("uploads/10")

    assert len(registry.manifest(registry.create_version(SPAM, source).digest).files) == 2


def test_a_deleted_version_tells_nothing_and_its_number_is_not_given_again(registry: Registry, upload: Upload) -> None:
    registry.create_version(SPAM, upload(), description="Secret.", run_id="r", tags={"seed": "1"})
    registry.set_alias(SPAM, CHAMPION, Version(1))

    registry.delete_version(SPAM, Version(1))

    for ask in (registry.get_version, registry.delete_version):
        with pytest.raises(NotFound, match=r"Model Version \(name=spam, version=1\) not found"):
            ask(SPAM, Version(1))
    with pytest.raises(NotFound, match="alias champion"):
        registry.resolve(SPAM, CHAMPION)
    assert registry.search_versions().records == ()
    assert registry.create_version(SPAM, upload()).version == 2


def test_a_version_is_copied_by_number_and_by_alias(registry: Registry, upload: Upload) -> None:
    origin = registry.create_version(SPAM, upload())
    registry.set_alias(SPAM, CHAMPION, Version(1))
    ham = registry.create_model(ModelName("ham")).name

    copies = [registry.create_version(ham, source) for source in ("models:/spam/1", "models:/spam@champion")]

    assert [copy.version for copy in copies] == [1, 2]
    assert {copy.digest for copy in copies} == {origin.digest}
    assert {copy.source for copy in copies} == {"models:/spam/1"}


def test_a_published_package_is_a_source_too(registry: Registry, upload: Upload) -> None:
    origin = registry.create_version(SPAM, upload())

    copy = registry.create_version(SPAM, f"mlflow-artifacts:/packages/{origin.digest}")

    assert copy.digest == origin.digest


@pytest.mark.parametrize("authority", ["", "//", "//127.0.0.1:8400", "//models.example"])
def test_the_source_may_name_an_authority(registry: Registry, upload: Upload, authority: str) -> None:
    upload("uploads/1")

    assert registry.create_version(SPAM, f"mlflow-artifacts:{authority}/uploads/1/").version == 1


@pytest.mark.parametrize(
    "source",
    [
        "/etc",
        "file:///etc",
        "file:/etc/passwd",
        "uploads/1",
        "./uploads/1",
        "http://127.0.0.1:8400/api/2.0/mlflow-artifacts/artifacts/uploads/1",
        "s3://bucket/model",
        "runs:/0123/model",
        "models:/m-0123456789abcdef",
        "models:/spam",
        "models:uploads",
        "mlflow-artifacts:uploads/1",
        "mlflow-artifacts:/",
        "mlflow-artifacts:///",
        "mlflow-artifacts://host",
        "mlflow-artifacts:/uploads/../../etc",
        "mlflow-artifacts:/uploads//1",
        "mlflow-artifacts:/uploads/1\0",
        "mlflow-artifacts:/uploads\\1",
        "MLFLOW-ARTIFACTS:/uploads/1",
        "",
    ],
)
def test_another_source_is_refused_in_one_sentence(registry: Registry, upload: Upload, source: str) -> None:
    upload("uploads/1")

    with pytest.raises((InvalidInput, NotFound)) as refusal:
        registry.create_version(SPAM, source)

    assert str(refusal.value).count(". ") == 0
    assert registry.search_versions().records == ()


@pytest.mark.parametrize(
    "source",
    ["mlflow-artifacts:/uploads/none", "mlflow-artifacts:/uploads/1#/x", "mlflow-artifacts:/uploads/%2e%2e/uploads/1"],
)
def test_a_source_without_files_is_no_package(registry: Registry, upload: Upload, source: str) -> None:
    upload("uploads/1")

    with pytest.raises(PackageInvalid, match="no files below"):
        registry.create_version(SPAM, source)


def test_a_package_needs_an_mlmodel_file(registry: Registry) -> None:
    registry.put_artifact("uploads/1/model.pkl", [b"weights"])

    with pytest.raises(PackageInvalid, match="no MLmodel file"):
        registry.create_version(SPAM, "mlflow-artifacts:/uploads/1")


@pytest.mark.parametrize("content", [b"", b"[", b"flavors: {}", b"flavors: !!python/object:os.system {}"])
def test_an_mlmodel_file_that_cannot_be_read_is_no_package(registry: Registry, content: bytes) -> None:
    registry.put_artifact("uploads/1/MLmodel", [content])

    with pytest.raises(PackageInvalid):
        registry.create_version(SPAM, "mlflow-artifacts:/uploads/1")


def test_versions_are_searched_by_model_and_tag(registry: Registry, upload: Upload) -> None:
    registry.create_version(SPAM, upload(), tags={"seed": "1"})
    registry.create_version(SPAM, upload(), tags={"seed": "2"}, run_id="r2")
    ham = registry.create_model(ModelName("ham")).name
    registry.create_version(ham, upload(), tags={"seed": "1"})

    def found(text: str, *order_by: str) -> list[tuple[str, int]]:
        records = registry.search_versions(text, order_by=order_by).records
        return [(record.name, record.version) for record in records]

    assert found("name = 'spam'", "version_number ASC") == [("spam", 1), ("spam", 2)]
    assert found("name = 'spam'") == [("spam", 2), ("spam", 1)]
    assert found("tags.seed = '1'", "name ASC") == [("ham", 1), ("spam", 1)]
    assert found("run_id = 'r2'") == [("spam", 2)]


def test_a_description_and_tags_of_a_version_change_and_nothing_else(registry: Registry, upload: Upload) -> None:
    before = registry.create_version(SPAM, upload())
    registry.set_version_tag(SPAM, Version(1), key="score", value="0.9")
    registry.set_version_tag(SPAM, Version(1), key="old", value="x")
    registry.delete_version_tag(SPAM, Version(1), key="old")
    after = registry.update_version(SPAM, Version(1), description="Good.")

    assert (after.description, after.tags) == ("Good.", {"score": "0.9"})
    assert (after.digest, after.source, after.created_at_ms) == (before.digest, before.source, before.created_at_ms)


def test_the_database_refuses_an_alias_to_a_deleted_version(registry: Registry, engine: Engine, upload: Upload) -> None:
    registry.create_version(SPAM, upload())
    registry.delete_version(SPAM, Version(1))

    for status in ("READY", "DELETED"):
        with pytest.raises(IntegrityError), writing(engine) as session:
            session.add(AliasRow(model_id=1, alias="champion", number=1, status=status))


def test_the_database_refuses_a_ready_version_without_a_package(
    registry: Registry, engine: Engine, upload: Upload
) -> None:
    registry.create_version(SPAM, upload())

    with pytest.raises(IntegrityError, match="ready_has_a_package"), writing(engine) as session:
        session.execute(update(VersionRow).values(digest=None))


def test_the_database_refuses_to_lose_a_file_that_a_version_has(
    registry: Registry, engine: Engine, upload: Upload
) -> None:
    registry.create_version(SPAM, upload())

    with pytest.raises(IntegrityError, match="FOREIGN KEY"), writing(engine) as session:
        session.execute(text("DELETE FROM blobs"))


def test_threads_that_create_versions_get_each_number_once(registry: Registry, upload: Upload) -> None:
    source = upload()

    def create(_: int) -> int:
        return registry.create_version(SPAM, source).version

    with ThreadPoolExecutor(16) as threads:
        numbers = list(threads.map(create, range(64)))

    assert sorted(numbers) == list(range(1, 65))


def test_a_folder_of_the_callers_machine_is_refused_with_the_command_that_uploads_it(registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="servery register FOLDER --name NAME"):
        registry.create_version(SPAM, "/home/me/model")
