"""Can the callers of one signature call another? What they send must be accepted, what they read must still come.

Inputs may widen as far as enforcement converts without changing a value (``integer`` to ``long``, ``float`` to
``double``), outputs may not change their types at all. What neither signature speaks of is taken to be fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, cast

from servery.errors import InvalidInput
from servery.package.mlmodel import MLmodel, read_mlmodel
from servery_worker.schema import Column, ColumnType, Param, SchemaError, Signature, Specs, Tensor

_WIDER: Mapping[ColumnType, frozenset[ColumnType]] = {
    ColumnType.INTEGER: frozenset({ColumnType.LONG, ColumnType.DOUBLE}),
    ColumnType.FLOAT: frozenset({ColumnType.DOUBLE}),
}
"""What a column of a type may become: its every value is a value of the other. Not long to double, beyond 2**53."""
_WIDER_PARAM: Mapping[ColumnType, frozenset[ColumnType]] = {
    ColumnType.INTEGER: frozenset({ColumnType.LONG, ColumnType.FLOAT, ColumnType.DOUBLE}),
    ColumnType.LONG: frozenset({ColumnType.FLOAT, ColumnType.DOUBLE}),
    ColumnType.FLOAT: frozenset({ColumnType.DOUBLE}),
}
"""The same for params, which MLflow converts more freely."""

Spec = Mapping[str, Any] | Tensor
"""A tensor, or a column or part of one in the signature's JSON form."""


@dataclass(frozen=True, slots=True)
class Compatibility:
    """Whether callers of an old signature can call a new one; true where they can."""

    problems: tuple[str, ...] = ()
    """One sentence for each thing that would be refused, or that callers read and would not find."""
    notes: tuple[str, ...] = ()
    """What could not be told, because a signature says nothing of it."""

    @property
    def compatible(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        return self.compatible


class _Side(Enum):
    INPUT = "input"
    OUTPUT = "output"


def check_compatible(old: Any, new: Any) -> Compatibility:
    """Tell whether callers of ``old`` can call ``new``.

    Each is a Signature, None, a package's folder, a loaded model or a registered version, or what MLflow's
    ``ModelSignature.to_dict`` gives. Without an old signature nothing is known of its callers, and without a new one
    everything is accepted: both count as compatible, and ``notes`` says so.

    Raises:
        InvalidInput: something that has no signature was given, or a broken one.
        PackageInvalid: the folder is no model package.
    """
    was, now = _signature_of(old, "old"), _signature_of(new, "new")
    notes = [*_unsaid(was.inputs, now.inputs, _Side.INPUT), *_unsaid(was.outputs, now.outputs, _Side.OUTPUT)]
    notes += _forms(was.inputs or (), now.inputs or ())
    problems = [
        *_type_hint(was, now),
        *_specs(was.inputs, now.inputs, _Side.INPUT),
        *_params(was.params or (), now.params or ()),
        *_specs(was.outputs, now.outputs, _Side.OUTPUT),
    ]
    return Compatibility(tuple(problems), tuple(notes))


def _signature_of(given: Any, field: str) -> Signature:
    if given is None:
        return Signature()
    if isinstance(given, Signature):
        return given
    if isinstance(given, str | Path):
        return _signature_of(read_mlmodel(Path(given)), field)
    given = getattr(given, "mlmodel", given)
    if isinstance(given, MLmodel):
        is_typed = given.fields.get("is_signature_from_type_hint") is True
        return replace(given.signature or Signature(), is_from_type_hint=is_typed)
    if hasattr(given, "signature"):
        return _signature_of(given.signature, field)
    entry = given.to_dict() if hasattr(given, "to_dict") else given
    if not isinstance(entry, Mapping):
        expected = "a signature, a package's folder or a loaded model"
        raise InvalidInput(field, expected=expected, got=type(given).__name__)
    try:
        return Signature.from_manifest(entry) or Signature()
    except SchemaError as error:
        raise InvalidInput(field, expected="a signature as MLflow writes it", got=str(error)) from None


def _unsaid(old: Specs | None, new: Specs | None, side: _Side) -> Iterator[str]:
    if not old:
        yield f"The old signature says nothing of {side.value}s, so what its callers count on is not known."
    elif not new:
        rest = "everything is accepted" if side is _Side.INPUT else "what callers will read is not known"
        yield f"The new signature says nothing of {side.value}s, so {rest}."


def _type_hint(old: Signature, new: Signature) -> Iterator[str]:
    if new.is_from_type_hint and not old.is_from_type_hint:
        yield "The new signature comes from a type hint: only bodies with 'inputs' are taken."


def _forms(old: Specs, new: Specs) -> Iterator[str]:
    """Forms of bodies that the old inputs take and the new ones do not, or read otherwise; nothing of their types."""
    columns = [[spec for spec in specs if isinstance(spec, Column)] for specs in (old, new)]
    nested = [any(column.type in (ColumnType.ARRAY, ColumnType.OBJECT) for column in side) for side in columns]
    if len(columns[0]) == 1 and columns[0][0].name is not None and len(columns[1]) > 1:
        yield f"Values that are sent without the name of column {columns[0][0].name!r} are refused now."
    if all(columns) and nested[0] is not nested[1]:
        rows, which = ("one row", "a") if nested[1] else ("columns of several rows", "no")
        yield f"An object in 'inputs' is {rows} now, for the new signature has {which} nested column."
    for was, now in zip(old, new, strict=False):
        if isinstance(was, Tensor) and isinstance(now, Tensor) and -1 in now.shape[1:] and -1 not in was.shape[1:]:
            yield f"A table is no longer taken: the new shape {now.shape} does not say how many columns it has."


def _specs(old: Specs | None, new: Specs | None, side: _Side) -> Iterator[str]:
    if not old or not new:
        return
    forms = _form(old), _form(new)
    if forms[0] != forms[1]:
        yield f"The {side.value}s were {forms[0]} and are {forms[1]} now."
        return
    yield from _members(_by_name(old), _by_name(new), side, _label(old, side))


def _form(specs: Specs) -> str:
    kind = "tensors" if isinstance(specs[0], Tensor) else "columns"
    return f"named {kind}" if specs[0].name is not None else f"{kind} without names"


def _by_name(specs: Specs) -> Mapping[Any, Spec]:
    """Each column or tensor by its name, or by its place where it has none."""
    return {place if spec.name is None else spec.name: _spec_of(spec) for place, spec in enumerate(specs)}


def _spec_of(spec: Column | Tensor) -> Spec:
    if isinstance(spec, Tensor):
        return spec
    return {**(spec.detail or {}), "type": spec.type.value, "required": spec.required}


def _label(specs: Specs, side: _Side) -> Callable[[Any], str]:
    what = "tensor" if isinstance(specs[0], Tensor) else "column"
    start = f"{side.value.capitalize()} {what}"
    return lambda name: f"{start} {name!r}"


def _members(
    old: Mapping[Any, Spec], new: Mapping[Any, Spec], side: _Side, label: Callable[[Any], str], closed: bool = False
) -> Iterator[str]:
    """Columns, tensors or properties by name; ``closed`` where an input may have no others."""
    for name, now in new.items():
        was = old.get(name)
        if was is None:
            if side is _Side.INPUT and _required(now):
                yield f"{label(name)} is new and required."
            continue
        if side is _Side.INPUT and _required(now) and not _required(was):
            yield f"{label(name)} was optional and is required now."
        if side is _Side.OUTPUT and _required(was) and not _required(now):
            yield f"{label(name)} was always there and is optional now."
        yield from _compare(was, now, side, label(name))
    if side is _Side.OUTPUT or closed:
        yield from (f"{label(name)} is gone." for name in old if name not in new)


def _required(spec: Spec) -> bool:
    return isinstance(spec, Tensor) or bool(spec.get("required", True))


def _compare(old: Spec, new: Spec, side: _Side, where: str) -> Iterator[str]:
    if isinstance(old, Tensor) or isinstance(new, Tensor):
        yield from _compare_tensors(cast("Tensor", old), cast("Tensor", new), side, where)
        return
    was, now = ColumnType(old["type"]), ColumnType(new["type"])
    if (now if side is _Side.INPUT else was) is ColumnType.ANY:
        return
    if was is now is ColumnType.ARRAY:
        yield from _compare(old["items"], new["items"], side, f"{where}[*]")
    elif was is now is ColumnType.MAP:
        yield from _compare(old["values"], new["values"], side, f"{where}.*")
    elif was is now is ColumnType.OBJECT:
        # MLflow refuses an object with a property that its signature does not name.
        yield from _members(old["properties"], new["properties"], side, lambda name: f"{where}.{name}", closed=True)
    elif was is not now and (side is _Side.OUTPUT or now not in _WIDER.get(was, ())):
        yield f"{where} was {was.value} and is {now.value} now."


def _compare_tensors(old: Tensor, new: Tensor, side: _Side, where: str) -> Iterator[str]:
    if _dtype(old) != _dtype(new):
        yield f"{where} was of {_dtype(old)} and is of {_dtype(new)} now."
    given, taken = (old.shape, new.shape) if side is _Side.INPUT else (new.shape, old.shape)
    if len(given) != len(taken) or any(size not in (-1, length) for size, length in zip(taken, given, strict=True)):
        yield f"{where} had the shape {old.shape} and has {new.shape} now."


def _dtype(tensor: Tensor) -> str:
    """The dtype's name; text and bytes without their length, as enforcement has it."""
    bare = tensor.dtype.lstrip("<>|=")
    return {"U": "str", "S": "bytes"}.get(bare[:1], bare)


def _params(old: tuple[Param, ...], new: tuple[Param, ...]) -> Iterator[str]:
    """Those that are new have a default, and those that are gone are ignored when they are sent."""
    before = {param.name: param for param in old}
    for now in new:
        was = before.get(now.name)
        if was is None:
            continue
        where = f"Param {now.name!r}"
        if (was.shape is None) != (now.shape is None):
            yield f"{where} was {_param_form(was)} and is {_param_form(now)} now."
        elif was.type is now.type is ColumnType.OBJECT:
            old_spec, new_spec = ({"type": "object", **(param.detail or {})} for param in (was, now))
            yield from _compare(old_spec, new_spec, _Side.INPUT, where)
        elif was.type is not now.type and now.type not in _WIDER_PARAM.get(was.type, ()):
            yield f"{where} was {was.type.value} and is {now.type.value} now."


def _param_form(param: Param) -> str:
    return "a single value" if param.shape is None else "a list"
