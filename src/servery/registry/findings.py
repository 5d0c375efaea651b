"""What was found out about a package after it was published: kept beside the package, whose files never change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from servery.db.engine import reading, writing
from servery.db.registry_tables import BuildLogRow, CheckReportRow, PackageRow
from servery.errors import InvalidInput, NotFound
from servery.names import Digest
from servery.registry.comparisons import Comparisons

BUILD_LOG_BYTES_MAX = 512 << 10
REPORT_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class BuildLog:
    """In which Python environment a gateway runs a package, and how that was made."""

    gateway: str
    text: str
    at_ms: int


class Findings(Comparisons):
    """All methods raise NotFound for a package that is not there."""

    def put_build_log(self, digest: Digest, gateway: str, text: str) -> None:
        """Keep what a gateway told last. Raises InvalidInput when it is too large."""
        if len(text.encode(errors="replace")) > BUILD_LOG_BYTES_MAX:
            raise InvalidInput("body", expected=f"at most {BUILD_LOG_BYTES_MAX} bytes", got=f"{len(text)} characters")
        plain = text.encode(errors="replace").decode().replace("\0", "")
        with writing(self._engine) as session:
            _check_package(session, digest)
            session.merge(BuildLogRow(digest=digest, gateway=gateway, text=plain, at_ms=self._clock.now_ms()))

    def build_logs(self, digest: Digest) -> tuple[BuildLog, ...]:
        """Of each gateway that has told of the package, the newest first."""
        query = select(BuildLogRow).where(BuildLogRow.digest == digest).order_by(BuildLogRow.at_ms.desc())
        with reading(self._engine) as session:
            _check_package(session, digest)
            return tuple(BuildLog(row.gateway, row.text, row.at_ms) for row in session.scalars(query))

    def put_report(self, digest: Digest, report: Mapping[str, Any]) -> None:
        """Keep the report of a check, in place of an earlier one. Raises InvalidInput when it is too large."""
        text = json.dumps(report)
        if len(text) > REPORT_BYTES_MAX:
            raise InvalidInput("body", expected=f"at most {REPORT_BYTES_MAX} bytes", got=f"{len(text)} bytes")
        with writing(self._engine) as session:
            _check_package(session, digest)
            session.merge(CheckReportRow(digest=digest, report=text, at_ms=self._clock.now_ms()))

    def report(self, digest: Digest) -> Mapping[str, Any] | None:
        """The newest report of a check; None when the package was never checked."""
        with reading(self._engine) as session:
            row = session.get(CheckReportRow, digest)
            found: Mapping[str, Any] | None = None if row is None else json.loads(row.report)
            return found


def _check_package(session: Session, digest: Digest) -> None:
    if session.get(PackageRow, digest) is None:
        raise NotFound("Package", digest)
