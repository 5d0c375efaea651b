"""A package's model at work: bodies in, answers out; rows of different requests predicted together where that is right.

``answer`` reads each request by itself and refuses the bad ones alone. Those that fit together (``Call.key``) become
one input and one ``predict``; the output is cut into rows again. Should that raise, or give not one entry for each
row, each of them is predicted alone, so that only the one at fault fails, and with the words of a lone request.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from servery_worker.calls import Call, Reader
from servery_worker.codecs.answers import parts_of, plain_answer, rows_of
from servery_worker.codecs.arrow import Sent
from servery_worker.codecs.bodies import Form
from servery_worker.codecs.json_text import dump_bare, json_writer
from servery_worker.enforcement import enforce
from servery_worker.flavors import FAILURES, Loaded, LoadError, load_flavor
from servery_worker.language.requests import task_of
from servery_worker.oip.metadata import model_metadata
from servery_worker.parameters import enforce_params
from servery_worker.proof import prove
from servery_worker.replies import Reply, raised, refused, unencodable
from servery_worker.schema import Column, InvalidInput, SchemaError, Signature, Specs
from servery_worker.wire import Asked, Options, Outcome, Timings

__all__ = ["LoadError", "Predictor", "Reply", "load", "make_predictor", "prove"]

_OK, _LLM, _BARE_NAN = Outcome.OK, Form.LLM, int(Options.BARE_NAN)
"""At hand for the hot path; a flag's own ``&`` takes longer than the rest of an answer's encoding."""


class Predictor:
    """A loaded model. One thread at a time.

    Attributes:
        flavor: the flavor's name, for people.
        signature: what the model takes and gives, or None.
        may_batch: a proof may make it batchable; not where the flavor says that rows depend on each other.
        batchable: rows of different requests may be predicted together.
        keys: the only calls of which that is known, by their key; None: of all.
        stream: the model in pieces, where it has that: ``Loaded.stream``.
    """

    def __init__(self, flavor: str, loaded: Loaded, signature: Signature | None, task: str | None = None) -> None:
        self.flavor = flavor
        self.signature = signature
        self.may_batch = loaded.row_wise is not False
        self.batchable = bool(loaded.row_wise)
        self.keys: frozenset[Hashable] | None = None
        self.stream = loaded.stream
        self._predict = loaded.predict
        self._reader = Reader(signature, task)
        self._dump = json_writer()

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """The model's own output for a frame, array, list or dict, as ``mlflow.pyfunc`` would give it.

        Raises:
            InvalidInput: the data or the params break the signature.
        """
        signature = self.signature or Signature()
        given = data if signature.is_from_type_hint else enforce(data, signature.inputs)
        return self._predict(given, enforce_params(params, signature.params))

    def answer(self, requests: Sequence[Asked]) -> tuple[list[Reply], Timings]:
        """Answer each request, in order; never raises for a bad one or for what a model does."""
        seconds = [0.0, 0.0, 0.0]
        started = perf_counter()
        answers: list[Reply | None] = [None] * len(requests)
        groups: dict[Hashable, list[tuple[int, Call]]] = {}
        for index, request in enumerate(requests):
            try:
                call = self.read(request)
            except Exception as error:
                answers[index] = refused(error)
            else:
                shared = call.key is not None and (self.keys is None or call.key in self.keys)
                groups.setdefault(call.key if shared else index, []).append((index, call))
        seconds[0] += perf_counter() - started
        for members in groups.values():
            calls = [call for _, call in members]
            parts = self._answer_together(calls, seconds) if len(calls) > 1 else None
            if parts is None:
                parts = [self._answer_alone(call, seconds) for call in calls]
            for (index, _), part in zip(members, parts):
                answers[index] = part
        return [answer for answer in answers if answer is not None], Timings(*seconds)

    @property
    def tensors(self) -> Mapping[str, Any]:
        """What the model takes and gives, as the Open Inference Protocol says it."""
        return self._reader.tensors

    def answer_example(self, asked: Asked) -> Reply:
        """As ``answer``; what the model is given and gives tells then, in ``tensors``, what its signature does not."""
        predict = self._predict
        seen: list[Any] = []

        def seeing(data: Any, params: Any) -> Any:
            output = predict(data, params)
            seen[:] = data, output
            return output

        self._predict = seeing
        try:
            [reply], _ = self.answer([asked])
        finally:
            self._predict = predict
        if seen:
            self._reader.tensors = model_metadata(self.signature, *seen)
        return reply

    @property
    def outputs(self) -> Specs | None:
        """What the signature says of an answer."""
        return None if self.signature is None else self.signature.outputs

    def call_of(self, sent: Sent, options: int) -> Call:
        """A table that is read already, ready to be predicted; raises BadBody or InvalidInput."""
        return self._reader.of_table(sent, options)

    def predict_call(self, call: Call) -> Any:
        """The model's own output for one call of a table; raises whatever the model does."""
        return self._predict(call.data, call.params)

    def read(self, asked: Asked) -> Call:
        """One request, ready to be predicted; raises BadBody or InvalidInput."""
        return self._reader.read(asked, batchable=self.batchable)

    def share_only(self, key: Hashable) -> None:
        """Rows may be predicted together where they have this key."""
        self.keys = frozenset((key,))
        self._reader.keep_layouts()

    def rows_together(self, calls: Sequence[Call], seconds: list[float]) -> list[Any] | None:
        """The plain answers of calls of one key, from one ``predict``; None when that has not an entry a row."""
        started = perf_counter()
        data = self._reader.joined(calls)
        joined = perf_counter()
        seconds[0] += joined - started
        output = self._predict(data, calls[0].params)
        predicted = perf_counter()
        seconds[1] += predicted - joined
        counts = [call.row_count for call in calls]
        parts: list[Any] | None
        if all(call.write is None for call in calls):
            parts = rows_of(plain_answer(output), counts)
        else:
            parts = parts_of(output, counts)
            if parts is not None:
                parts = [plain_answer(part) if call.write is None else part for part, call in zip(parts, calls)]
        seconds[2] += perf_counter() - predicted
        return parts

    def _answer_together(self, calls: Sequence[Call], seconds: list[float]) -> list[Reply] | None:
        try:
            parts = self.rows_together(calls, seconds)
        except FAILURES:
            return None
        if parts is None:
            return None
        started = perf_counter()
        answers = [self._encode(part, call) for part, call in zip(parts, calls)]
        seconds[2] += perf_counter() - started
        return answers

    def _answer_alone(self, call: Call, seconds: list[float]) -> Reply:
        started = perf_counter()
        try:
            call, data = self.with_input(call)
        except Exception as error:
            return refused(error)
        finally:
            ready = perf_counter()
            seconds[0] += ready - started
        try:
            output = self._predict(data, call.params)
        except FAILURES as error:
            return raised(error)
        finally:
            predicted = perf_counter()
            seconds[1] += predicted - ready
        try:
            return self._encode_output(output, call)
        finally:
            seconds[2] += perf_counter() - predicted

    def with_input(self, call: Call) -> tuple[Call, Any]:
        """A call, and what the model is given for it alone; raises BadBody or InvalidInput."""
        try:
            return call, self._reader.joined([call])
        except Exception:
            # The long way either takes the rows after all, or says what is wrong.
            slow = self._reader.slowly(call.body, call.options, batchable=False)
            return slow._replace(write=call.write, events=call.events), slow.data

    def _encode_output(self, output: Any, call: Call) -> Reply:
        try:
            answer = plain_answer(output) if call.write is None else output
        except Exception as error:
            return unencodable(error, call.write is not None)
        return self._encode(answer, call)

    def _encode(self, answer: Any, call: Call) -> Reply:
        """The reply to one call: ``answer`` is plain, or the model's own output where the call is written otherwise."""
        try:
            if call.write is not None:
                body, head_bytes = call.write(answer)
                return Reply(_OK, body, call.coerced, head_bytes)
            text = dump_bare(answer) if call.options & _BARE_NAN else self._dump(answer)
        except InvalidInput as error:  # It asks for what the model does not give.
            return refused(error)
        except Exception as error:
            return unencodable(error, call.write is not None)
        return Reply(_OK, text if call.body.form is _LLM else b'{"predictions":' + text + b"}", call.coerced)


def load(directory: str, mlmodel: Mapping[str, Any]) -> Predictor:
    """The predictor of the package in ``directory``, whose MLmodel file is ``mlmodel``.

    Raises:
        LoadError: it does not load; the message is one sentence with the cause.
    """
    flavor, loaded = load_flavor(directory, mlmodel)
    return make_predictor(flavor, loaded, mlmodel)


def make_predictor(flavor: str, loaded: Loaded, mlmodel: Mapping[str, Any]) -> Predictor:
    """The predictor of a model that is in memory already, with the signature of ``mlmodel``; raises LoadError."""
    try:
        signature = Signature.from_manifest(mlmodel.get("signature"))
    except SchemaError as error:
        raise LoadError(f"The signature in the package's MLmodel cannot be read: {error}.") from None
    if signature is not None and mlmodel.get("is_signature_from_type_hint") is True:
        signature = replace(signature, is_from_type_hint=True)
    elif _takes_list(mlmodel):
        loaded = loaded._replace(predict=_given_list(loaded.predict, signature))
    return Predictor(flavor, loaded, signature, task_of(mlmodel))


def _takes_list(mlmodel: Mapping[str, Any]) -> bool:
    """Does the model take a list, as its example was one? Enforcement makes a frame of a list, and MLflow makes a list
    of that frame again with ``type_hint_from_example``; a text pipeline cannot do with the frame.
    """
    info = mlmodel.get("saved_input_example_info") or {}
    return mlmodel.get("type_hint_from_example") is True and info.get("type") == "json_object"


def _given_list(predict: Callable[[Any, Any], Any], signature: Signature | None) -> Callable[[Any, Any], Any]:
    """``predict`` given the list that its frame was made of: of values for a column without a name, else of rows."""
    [only, *_] = (signature.inputs if signature else None) or (None,)
    if isinstance(only, Column) and only.name is None and only.detail is None:
        return lambda frame, params: predict(frame.iloc[:, 0].tolist(), params)
    if isinstance(only, Column):
        return lambda frame, params: predict(frame.to_dict(orient="records"), params)
    return predict
