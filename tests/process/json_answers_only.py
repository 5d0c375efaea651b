"""A hook for schemathesis: no request asks for NaN as a bare word, whose answer would not be JSON."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.headers:
        case.headers.pop("X-Servery-Nan", None)
