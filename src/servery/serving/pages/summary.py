"""What an endpoint's page says, as plain values: the JSON answer, and what the HTML one is made of."""

from __future__ import annotations

from typing import Any

from servery.serving.pages.description import Description
from servery.serving.pages.endpoint import Endpoint, ServedVersion
from servery.serving.pages.json_schema import type_name
from servery.serving.pages.openapi import about
from servery_worker.schema import Column, Param, Specs


def summary(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint in one JSON object."""
    main = endpoint.main
    return {
        "name": endpoint.name,
        "about": about(endpoint),
        "invocations": endpoint.invocations,
        "openapi": f"{endpoint.page}/openapi.json",
        "versions": [_version(one, tells_all=endpoint.differs) for one in endpoint.versions],
        "flavor": main.flavor if main else None,
        **_takes(main),
        "example": main.request if main else None,
        "answer": main.answer if main else None,
    }


def _version(version: ServedVersion, *, tells_all: bool) -> dict[str, Any]:
    """One version; where they are not alike, with what it takes."""
    told = {
        "version": version.label,
        "percent": version.percent,
        "state": version.state.value,
        "stage": version.stage,
    }
    return {**told, **(_takes(version.description) if tells_all else {})}


def _takes(known: Description | None) -> dict[str, Any]:
    """What a version takes and gives; null where that is not known."""
    signature = known.signature if known else None
    return {
        "inputs": _rows(signature.inputs if signature else None),
        "outputs": _rows(signature.outputs if signature else None),
        "params": [_param(param) for param in (signature.params if signature else None) or ()],
    }


def _rows(specs: Specs | None) -> list[dict[str, Any]] | None:
    if specs is None:
        return None
    return [
        {
            "name": None if spec.name is None else str(spec.name),
            "type": type_name(spec),
            "required": spec.required if isinstance(spec, Column) else True,
        }
        for spec in specs
    ]


def _param(param: Param) -> dict[str, Any]:
    return {"name": param.name, "type": type_name(param), "default": param.default}
