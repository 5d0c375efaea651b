"""What is made of what was seen: tables of observations to verdicts and sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from servery import infer_signature
from servery.check.bodies import answers_of, read_rows
from servery.check.causes import Kind, cause_of
from servery.check.edges import Case, Ending, Observation, cases, judge, ordinary_body
from servery.check.measure import Moment, has_seen_enough, judge_growth, judge_latency, percentile
from servery.check.outside import judge_output, judge_outside
from servery.check.processes import Usage
from servery.check.report import Figures, Finding, Fitness, Look, Machine, Verdict, recommend
from servery.check.traces import Traces

MACHINE = Machine(cores=4, memory_bytes=8 << 30, has_gpu=False, python="3.11.7")
QUIET = Traces((), (), (), (), (), (), (), (), ())
FRAME = pd.DataFrame({"age": [22.0, 35.0], "city": ["Bern", "Basel"]})
SIGNATURE = infer_signature(FRAME, outputs=["yes", "no"])
SPLIT = (
    b'{"dataframe_split": {"columns": ["age", "city"], "data": [[22.0, "Bern"], [35.0, "Basel"]]}, "params": {"a": 1}}'
)


# The rows of a request.


@pytest.mark.parametrize(
    "body",
    [
        SPLIT,
        b'{"dataframe_records": [{"age": 22.0}, {"age": 35.0}]}',
        b'{"inputs": [[1, 2], [3, 4]]}',
        b'{"inputs": ["a", "b"]}',
        b'{"inputs": {"age": [1, 2], "city": ["a", "b"]}}',
        b'{"instances": [1, 2], "params": {"a": 1}}',
    ],
)
def test_a_request_is_taken_apart_and_put_together_again(body: bytes) -> None:
    found = read_rows(body)
    assert found is not None
    assert len(found.rows) == 2
    assert json.loads(found.encode(found.rows)) == json.loads(body)


@pytest.mark.parametrize("body", [b"[1]", b'{"messages": []}', b'{"inputs": 3}', b'{"inputs": {"a": [1], "b": 2}}'])
def test_a_request_without_rows_has_none(body: bytes) -> None:
    assert read_rows(body) is None


@pytest.mark.parametrize(
    ("answer", "count", "found"),
    [
        ('{"predictions": [1, 2]}', 2, [1, 2]),
        ('{"predictions": {"a": [1, 2], "b": [3, 4]}}', 2, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ('{"predictions": [1, 2]}', 3, None),
        ('{"predictions": "all"}', 1, None),
        ("[1]", 1, None),
    ],
)
def test_an_answer_has_an_entry_a_row_or_not(answer: str, count: int, found: Any) -> None:
    assert answers_of(answer.encode(), count) == found


# The edges of a signature.


def test_a_table_is_tried_at_every_edge() -> None:
    made = {case.name: json.loads(case.body) for case in cases(SIGNATURE, SPLIT)}
    assert made["no rows"]["dataframe_split"]["data"] == []
    assert len(made["1000 rows"]["dataframe_split"]["data"]) == 1000
    assert made["nulls"]["dataframe_split"]["data"] == [[None, None]]
    assert made["the largest values"]["dataframe_split"]["data"] == [[1.7e308, "Bern"]]
    assert made["a request without column 'age'"]["dataframe_split"]["columns"] == ["city"]
    assert made["text in the column of numbers 'age'"]["dataframe_split"]["data"] == [["text", "Bern"]]
    assert made["a null in column 'city'"]["dataframe_split"]["data"] == [[22.0, None]]
    assert all(request["params"] == {"a": 1} for request in made.values())


@pytest.mark.parametrize(
    ("inputs", "example"),
    [
        (np.array([[1.0, 2.0]]), b'{"inputs": [[1.0, 2.0]]}'),
        (["some text"], b'{"inputs": ["some text"]}'),
        (None, b'{"inputs": {"nested": {"deep": 1}}}'),
        (None, b'{"messages": [{"role": "user", "content": "hello"}]}'),
    ],
)
def test_any_example_has_edges(inputs: Any, example: bytes) -> None:
    signature = None if inputs is None else infer_signature(inputs)
    made = cases(signature, example)
    assert "nulls" in {case.name for case in made}
    assert all(json.loads(case.body) for case in made)


@pytest.mark.parametrize("inputs", [FRAME, np.array([[1.0, 2.0]]), np.array([1]), ["text"]])
def test_a_request_is_made_up_from_a_signature(inputs: Any) -> None:
    body = ordinary_body(infer_signature(inputs))
    assert body is not None
    assert read_rows(body) is not None


@pytest.mark.parametrize(
    ("endings", "verdict", "words"),
    [
        ([Ending.ANSWERED, Ending.REFUSED], Verdict.OK, "2 requests"),
        ([Ending.RAISED], Verdict.NOTE, "raises on case 0"),
        ([Ending.UNWRITABLE, Ending.RAISED], Verdict.WARNING, "cannot be written"),
        ([Ending.RAISED, Ending.ENDED], Verdict.BROKEN, "can end its worker, with case 1"),
        ([Ending.HUNG], Verdict.BROKEN, "can make it hang, with case 0"),
    ],
)
def test_the_worst_edge_is_the_sentence(endings: Sequence[Ending], verdict: Verdict, words: str) -> None:
    seen = [Observation(Case(f"case {index}", b"{}"), ending, "why") for index, ending in enumerate(endings)]
    finding = judge(seen)
    assert finding.verdict is verdict
    assert words in finding.sentence


def test_raising_on_what_callers_send_and_answering_what_is_ruled_out_are_warnings() -> None:
    assert judge([Observation(Case("1000 rows", b"", is_ordinary=True), Ending.RAISED)]).verdict is Verdict.WARNING
    assert judge([Observation(Case("no 'age'", b"", must_refuse=True), Ending.ANSWERED)]).verdict is Verdict.WARNING


# What grows.


def moments(*, memory: Sequence[int] = (), threads: Sequence[int] = ()) -> list[Moment]:
    count = max(len(memory), len(threads))
    memory, threads = memory or [0] * count, threads or [4] * count
    return [
        Moment(index * 10, Usage(100 * 2**20 + more, 0, thread, 8, 1))
        for index, (more, thread) in enumerate(zip(memory, threads, strict=True))
    ]


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (moments(memory=[0] * 17), Verdict.OK),
        (moments(memory=[step * 100_000 for step in range(17)]), Verdict.WARNING),
        (moments(memory=[step * 10_000_000 for step in range(17)]), Verdict.BROKEN),
        # It warms up, and then it stays.
        (moments(memory=[50_000_000] * 4 + [60_000_000] * 13), Verdict.OK),
        (moments(memory=[0, *[90_000_000] * 16]), Verdict.OK),
        # Up and down.
        (moments(memory=[(step % 3) * 5_000_000 for step in range(17)]), Verdict.OK),
        (moments(threads=[4 + 10 * step for step in range(17)]), Verdict.BROKEN),
        (moments(threads=[4 + step for step in range(17)]), Verdict.WARNING),
        (moments(threads=[4] * 8 + [6] * 9), Verdict.OK),
    ],
)
def test_steady_growth_is_a_leak(seen: list[Moment], verdict: Verdict) -> None:
    assert judge_growth(seen).verdict is verdict


def test_percentiles_are_by_nearest_rank() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 99)] == [50, 99]
    assert percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(
    ("p50_ms", "verdict", "words"),
    [
        (2.0, Verdict.OK, "takes 2 ms"),
        (800.0, Verdict.NOTE, "takes 800 ms"),
        (10_000.0, Verdict.WARNING, "takes 10.0 s, which is slow: a worker answers 6 a minute"),
        (70_000.0, Verdict.BROKEN, "every caller runs into the gateway's timeout of 60 s"),
    ],
)
def test_a_slow_model_is_said(p50_ms: float, verdict: Verdict, words: str) -> None:
    finding = judge_latency(p50_ms, p50_ms, 3, timeout_seconds=60)
    assert finding.verdict is verdict
    assert words in finding.sentence


# What it does besides.


def test_printing_is_judged_by_the_prediction() -> None:
    assert judge_output(0, 100, "", load_bytes=10).verdict is Verdict.OK
    assert judge_output(8_000, 100, "one line\n", load_bytes=0).verdict is Verdict.NOTE
    assert judge_output(200_000, 100, "many lines\n", load_bytes=0).verdict is Verdict.WARNING
    assert judge_output(0, 100, "", load_bytes=1 << 20).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("text", "connects", "has_gpu", "kind"),
    [
        ("RuntimeError: No CUDA GPUs are available", (), False, Kind.GPU),
        ("AssertionError: Torch not compiled with CUDA enabled", (), False, Kind.GPU),
        ("RuntimeError: CUDA out of memory", (), True, Kind.OTHER),
        ("ModuleNotFoundError: No module named 'lightgbm'", (), False, Kind.MODULE),
        ("needs xgboost, which its environment does not have", (), False, Kind.MODULE),
        ("ImportError: cannot import name 'soup' from 'kitchen'", (), False, Kind.MODULE),
        ("gaierror: Name or service not known", ("a.example:443",), False, Kind.NETWORK),
        ("ValueError: nothing of the kind", ("a.example:443",), False, Kind.OTHER),
    ],
)
def test_a_cause_is_told_by_what_was_said_and_what_was_seen(
    text: str, connects: tuple[str, ...], has_gpu: bool, kind: Kind
) -> None:
    traces = Traces((), (), (), (), (), connects, (), (), ())
    cause = cause_of("It does not load", text, traces, has_gpu=has_gpu)
    assert cause.kind is kind
    assert text in cause.sentence


def test_what_a_quiet_model_leaves_is_nothing() -> None:
    assert judge_outside(QUIET, [], survivors=0).verdict is Verdict.OK
    assert judge_outside(QUIET, ["model.pkl"], survivors=0).verdict is Verdict.BROKEN
    assert judge_outside(QUIET, [], survivors=2).verdict is Verdict.WARNING


# The recommendation.


@pytest.mark.parametrize(
    ("verdicts", "fitness", "words"),
    [
        ([Verdict.OK, Verdict.NOTE, Verdict.SKIPPED], Fitness.FIT, "Fit to deploy: 3 replicas"),
        ([Verdict.WARNING, Verdict.OK], Fitness.NOTES, "once you have read on files"),
        ([Verdict.WARNING, Verdict.BROKEN], Fitness.UNFIT, "Not fit to deploy: sentence 1"),
    ],
)
def test_the_recommendation_follows_from_the_worst(verdicts: list[Verdict], fitness: Fitness, words: str) -> None:
    looks = list(Look)
    findings = [Finding(looks[index], verdict, f"sentence {index}.") for index, verdict in enumerate(verdicts)]
    found, sentence, settings = recommend(findings, Figures(memory_bytes=1 << 20, p99_ms=3.0), MACHINE, batchable=True)
    assert found is fitness
    assert words in sentence
    assert (settings is None) is (fitness is Fitness.UNFIT)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("It does not load (no recipe today).", "It does not load (no recipe today)."),
        (f"It does not load: it needs a GPU ({'no driver, ' * 30}).", "It does not load: it needs a GPU."),
        (f"It cannot be made: {'unsatisfiable ' * 30}.", f"It cannot be made: {'unsatisfiable ' * 12}".rstrip() + "…"),
    ],
    ids=["short", "long in detail", "long"],
)
def test_a_long_sentence_is_shown_by_its_beginning_in_whole_words(sentence: str, shown: str) -> None:
    finding = Finding(Look.LOAD, Verdict.BROKEN, sentence)
    assert recommend([finding], Figures(), MACHINE, batchable=False)[1] == f"Not fit to deploy: {shown}"


def test_a_large_model_gets_as_many_replicas_as_fit() -> None:
    _, _, settings = recommend([], Figures(memory_bytes=2 << 30, p99_ms=900.0), MACHINE, batchable=False)
    assert settings is not None
    assert (settings.replicas, settings.batching, settings.timeout_seconds) == (2, False, 5.0)


def test_a_large_leak_is_told_from_few_predictions_of_growing_number() -> None:
    seen = [Moment(count, Usage((100 + 10 * count) << 20, 0, 4, 8, 1)) for count in (0, 1, 3, 7, 15, 31, 63)]
    assert has_seen_enough(seen, memory_bytes_max=512 << 20)
    assert not has_seen_enough(seen[:4], memory_bytes_max=512 << 20)
    assert "10.0 MiB more with every prediction" in judge_growth(seen).sentence
