"""Embeddings: a model's vectors as OpenAI's list, as numbers or as the bytes of 32-bit floats in base64."""

from __future__ import annotations

import base64
from typing import Any

from servery_worker.codecs.json_text import Unencodable, dump_json
from servery_worker.kinds import is_frame, is_series
from servery_worker.language.requests import Wanted
from servery_worker.language.texts import only, plain

_NO_USAGE = {"prompt_tokens": 0, "total_tokens": 0}
"""A model that gives vectors alone does not tell how many tokens it has read."""


def write(output: Any, wanted: Wanted) -> tuple[bytes, int]:
    """A vector for each text.

    Raises:
        Unencodable: the output holds no vectors.
    """
    value = output if _is_array(output) else only(plain(output))
    usage = _NO_USAGE
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        usage = value.get("usage") or usage
        value = [item["embedding"] for item in value["data"]]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, is_base64=wanted.is_base64)}
        for index, vector in enumerate(_vectors(value))
    ]
    return dump_json({"object": "list", "data": data, "model": wanted.model, "usage": usage}), 0


def _is_array(output: Any) -> bool:
    return is_frame(output) or is_series(output) or hasattr(output, "__array__")


def _vectors(value: Any) -> Any:
    """Two dimensions: a row for each text."""
    import numpy as np

    if is_series(value) or (is_frame(value) and value.shape[1] == 1):
        value = list(value.to_numpy().ravel())  # A cell holds a whole vector.
    try:
        vectors = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise Unencodable("it is expected to hold a vector for each text") from None
    if vectors.ndim == 1:
        vectors = vectors[np.newaxis]
    if vectors.ndim != 2:
        raise Unencodable(f"it is expected to hold a vector for each text; it has {vectors.ndim} dimensions")
    return vectors


def _encoded(vector: Any, *, is_base64: bool) -> Any:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if is_base64 else vector.tolist()
