"""The gateway's statistics in Prometheus' text format, read when a scrape asks for them."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from servery.observability.counts import LATENCY_BOUNDS_SECONDS
from servery.serving.gateway import Gateway

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()


def exposition(gateway: Gateway, others: Mapping[int, int]) -> bytes:
    """All metrics of a gateway; ``others`` counts the answers that no version was asked for, by status."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_GatewayCollector(gateway, others))
    return generate_latest(registry)


class _GatewayCollector(Collector):
    def __init__(self, gateway: Gateway, others: Mapping[int, int]) -> None:
        self._gateway = gateway
        self._others = others

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._versions()
        table = GaugeMetricFamily("servery_routing_table_number", "The newest routing table whose routes are taken.")
        table.add_metric([], self._gateway.settled_number)
        yield table
        memory = GaugeMetricFamily("servery_gateway_memory_peak_bytes", "The gateway's largest resident size so far.")
        memory.add_metric([], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        yield memory

    def _requests(self) -> Iterator[Metric]:
        labels = ["endpoint", "version"]
        requests = CounterMetricFamily("servery_requests", "Answers given, by status.", labels=[*labels, "status"])
        latency = HistogramMetricFamily(
            "servery_request_latency_seconds", "From a request's arrival to its answer.", labels=labels
        )
        coerced = CounterMetricFamily(
            "servery_coerced_requests", "Requests of which a value was changed to fit its type.", labels=labels
        )
        for counts in self._gateway.counts:
            record = counts.statistics()
            key = [record.endpoint, record.version]
            for status, count in record.by_status.items():
                requests.add_metric([*key, str(status)], count)
            bounds = [*map(str, LATENCY_BOUNDS_SECONDS), "+Inf"]
            buckets = list(zip(bounds, accumulate(record.latency_buckets), strict=True))
            latency.add_metric(key, buckets, record.latency_sum_seconds)
            coerced.add_metric(key, record.coerced)
        for status, count in self._others.items():
            requests.add_metric(["", "", str(status)], count)
        yield requests
        yield latency
        yield coerced

    def _versions(self) -> Iterator[Metric]:
        names = {
            "servery_workers_ready": "Workers that hold the version and can predict.",
            "servery_workers_busy": "Workers that have a batch.",
            "servery_requests_waiting": "Requests that wait for a worker.",
            "servery_request_bytes_waiting": "Bytes of bodies that wait for a worker.",
            "servery_streams_open": "Answers in pieces that are under way.",
        }
        gauges = {name: GaugeMetricFamily(name, text, labels=["version"]) for name, text in names.items()}
        totals = {
            "servery_workers_lost": "Workers that ended unasked.",
            "servery_batches": "Batches sent to workers.",
            "servery_batch_requests": "Requests sent to workers, in all batches.",
            "servery_streams": "Answers in pieces that were begun.",
        }
        counters = {name: CounterMetricFamily(name, text, labels=["version"]) for name, text in totals.items()}
        for served in self._gateway.served:
            label = [served.pool.spec.label]
            workers, queue = served.pool.statistics(), served.batcher.statistics()
            gauges["servery_workers_ready"].add_metric(label, workers.workers_ready)
            gauges["servery_workers_busy"].add_metric(label, workers.workers_busy)
            gauges["servery_requests_waiting"].add_metric(label, queue.requests_waiting)
            gauges["servery_request_bytes_waiting"].add_metric(label, queue.bytes_waiting)
            gauges["servery_streams_open"].add_metric(label, queue.streams)
            counters["servery_workers_lost"].add_metric(label, workers.workers_lost)
            counters["servery_batches"].add_metric(label, queue.batches)
            counters["servery_batch_requests"].add_metric(label, queue.requests_sent)
            counters["servery_streams"].add_metric(label, queue.streams_opened)
        yield from gauges.values()
        yield from counters.values()
