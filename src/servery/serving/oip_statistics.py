"""A model's statistics and configuration in the shapes that Triton gave them, for the tools made for it.

Sources: Triton's ``extension_statistics.md``, ``extension_model_configuration.md`` and ``model_config.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import msgspec

from servery.serving.batcher import BATCH_REQUESTS_MAX
from servery.serving.targets import Choice

_STAGES = ("compute_input", "compute_infer", "compute_output")
"""Triton's words for what a worker spends on decoding, predicting and encoding."""


def model_statistics(choice: Choice, *, started_ms: float) -> dict[str, Any]:
    """One version's statistics; ``started_ms`` is when the monotonic clock was 0, in milliseconds since the epoch.

    Counts are of requests, whatever rows each has. Each request of a batch is said to have taken all of its batch's
    time in ``inference_stats``; in ``batch_stats`` each batch counts once.
    """
    record, pool = choice.counts.statistics(), choice.served.pool.spec
    requests = sum(record.by_status.values())
    succeeded = requests - record.failed
    executions = {batch.requests: batch.answers / batch.requests for batch in record.batches}
    answers = sum(batch.answers for batch in record.batches)
    stages = {name: sum(batch.seconds[place] for batch in record.batches) for place, name in enumerate(_STAGES)}
    return {
        "name": record.endpoint,
        "version": str(pool.version),
        "last_inference": int(started_ms + record.last_arrived * 1000) if requests else 0,
        "inference_count": succeeded,
        "execution_count": ceil(sum(executions.values())),
        "inference_stats": {
            "success": _duration(succeeded, record.latency_sum_seconds - record.failed_seconds),
            "fail": _duration(record.failed, record.failed_seconds),
            "queue": _duration(answers, record.queue_seconds),
            **{name: _duration(answers, seconds) for name, seconds in stages.items()},
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": batch.requests,
                **{
                    name: _duration(ceil(executions[batch.requests]), seconds / batch.requests)
                    for name, seconds in zip(_STAGES, batch.seconds, strict=True)
                },
            }
            for batch in record.batches
        ],
        "memory_usage": [],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": max(0, round(seconds * 1e9))}


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]


class _Tensors(msgspec.Struct):
    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []


def tensors_of(facts: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The inputs and outputs that a worker told; none where it told nonsense: it runs somebody's model."""
    try:
        told = msgspec.convert(facts.get("tensors") or {}, type=_Tensors)
    except msgspec.ValidationError:
        told = _Tensors()
    made: dict[str, list[dict[str, Any]]] = msgspec.to_builtins(told)
    return made


def platform_of(facts: Mapping[str, Any]) -> str:
    """``mlflow_sklearn``, for one; ``mlflow_pyfunc`` for a package that brings its own loader."""
    flavor = facts.get("flavor")
    return f"mlflow_{'pyfunc' if flavor == 'loader_module' else flavor}"


def model_config(endpoint: str, choice: Choice, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of one version. Where requests share batches, ``dims`` are without the first size, as Triton
    has it, and ``max_batch_size`` is how many requests of one row may; else it is 0, and ``dims`` are whole."""
    pool, tensors = choice.served.pool, tensors_of(facts)
    every = [entry["shape"][:1] for entries in tensors.values() for entry in entries]
    is_batched = pool.batchable and all(size == [-1] for size in every)
    config = {
        "name": endpoint,
        "platform": platform_of(facts),
        "backend": "servery",
        "version_policy": {"specific": {"versions": [pool.spec.version]}},
        "max_batch_size": BATCH_REQUESTS_MAX if is_batched else 0,
        "input": [_config_tensor(entry, is_batched=is_batched) for entry in tensors["inputs"]],
        "output": [_config_tensor(entry, is_batched=is_batched) for entry in tensors["outputs"]],
        "instance_group": [{"name": endpoint, "kind": "KIND_CPU", "count": pool.spec.replicas}],
    }
    if pool.streams:
        config["model_transaction_policy"] = {"decoupled": True}
    return {**config, "dynamic_batching": {}} if is_batched else config


def _config_tensor(entry: Mapping[str, Any], *, is_batched: bool) -> dict[str, Any]:
    datatype = "STRING" if entry["datatype"] == "BYTES" else entry["datatype"]
    return {"name": entry["name"], "data_type": f"TYPE_{datatype}", "dims": entry["shape"][is_batched:]}
