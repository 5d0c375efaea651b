"""A folder in an object store: S3 and what speaks like it, Google's, Azure's. Through obstore, imported when needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from servery.client.artifact_folders import FILES_MAX, RemoteFile, checked_files
from servery.client.mlflow_transport import Advance
from servery.errors import ConfigInvalid, PackageInvalid, RemoteError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK_BYTES = 8 << 20
_STALL = timedelta(seconds=60)
"""How long a store may send nothing."""
_TRANSFER = timedelta(hours=6)
"""How long one file may take in all."""
_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_HINTS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for another S3 server, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}
_AZURE_HINT = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"


class ObjectFolder:
    """What lies below ``s3://bucket/path`` (or ``gs``, ``az``, ``abfss``). May be used from several threads."""

    def __init__(self, uri: str, settings: Mapping[str, str]) -> None:
        """``settings`` are the variables that obstore knows by their names: ``AWS_…``, ``GOOGLE_…``, ``AZURE_…``."""
        parts = urlsplit(uri)
        self._uri = uri.rstrip("/")
        self._scheme = parts.scheme
        self._prefix = self._uri.partition("://")[2].partition("/")[2]
        self._store = _open(f"{parts.scheme}://{parts.netloc}", parts.scheme, settings)

    @property
    def where(self) -> str:
        return self._uri

    def files(self) -> tuple[RemoteFile, ...]:
        import obstore

        found: list[RemoteFile] = []
        try:
            for batch in obstore.list(self._store, prefix=self._prefix):
                for entry in batch:
                    path = entry["path"].removeprefix(f"{self._prefix}/")
                    found.append(RemoteFile(path, entry["size"], entry["e_tag"]))
                if len(found) > FILES_MAX:
                    raise PackageInvalid(f"{self.where} has more than {FILES_MAX} files.")
        except Exception as error:
            raise self._said(error) from None
        # Some tools mark a folder by an empty object of its name.
        folders = {file.path.rpartition("/")[0] for file in found}
        return checked_files((file for file in found if file.size_bytes or file.path not in folders), self.where)

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> int:
        import obstore

        written = 0
        with target.open("wb") as opened:
            try:
                for chunk in obstore.get(self._store, f"{self._prefix}/{file.path}").stream(_CHUNK_BYTES):
                    opened.write(chunk)
                    written += len(chunk)
                    advance(len(chunk))
            except OSError as error:
                # Its FileNotFoundError is the store's, not this machine's.
                raise (self._said(error) if error.errno is None else error) from None
            except Exception as error:
                raise self._said(error) from None
        return written

    def _said(self, error: Exception) -> Exception:
        """One sentence of ours: the library's own may hold an address with a signature in it."""
        from obstore.exceptions import BaseError

        if not isinstance(error, BaseError | FileNotFoundError | PermissionError):
            return error
        text = str(error)
        code = re.search(r"<Code>(\w+)</Code>", text)
        status = re.search(r"status code: (\d{3}(?: [A-Z]\w+)*)", text)
        told = code[1] if code else status[1] if status else type(error).__name__
        hint = _HINTS.get(self._scheme, _AZURE_HINT)
        return RemoteError(f"The object store does not give {self._uri} ({told}); check the address, and {hint}.")


def _open(bucket: str, scheme: str, settings: Mapping[str, str]) -> ObjectStore:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    brand = {"s3": "aws_", "gs": "google_"}.get(scheme, "azure_")
    given = {name.lower(): value for name, value in settings.items() if name.lower().startswith(brand)}
    config: Any = {name: value for name, value in given.items() if _is_known(bucket, name, value)}
    plain = any(value.startswith("http://") for name, value in config.items() if "endpoint" in name)
    options: Any = {"connect_timeout": "5s", "read_timeout": _STALL, "timeout": _TRANSFER, "allow_http": plain}
    try:
        return from_url(bucket, config=config, client_options=options, retry_config=_RETRIES)
    except (BaseError, ValueError) as error:
        hint = _HINTS.get(scheme, _AZURE_HINT)
        raise ConfigInvalid(
            f"The object store {bucket} cannot be opened ({type(error).__name__}); set {hint}."
        ) from None


def _is_known(bucket: str, name: str, value: str) -> bool:
    """Whether obstore has such a setting: it refuses others, and a cloud's own tools have more (AWS_PAGER)."""
    from obstore.exceptions import BaseError, UnknownConfigurationKeyError
    from obstore.store import from_url

    config: Any = {name: value}
    try:
        from_url(bucket, config=config)
    except UnknownConfigurationKeyError:
        return False
    except BaseError:  # What is missing besides, or is wrong with it, the whole will tell.
        return True
    return True
