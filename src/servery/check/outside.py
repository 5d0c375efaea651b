"""What a model did besides answering: printed, written, connected, started."""

from __future__ import annotations

from collections.abc import Sequence

from servery.check.measure import bytes_text
from servery.check.report import Finding, Look, Verdict
from servery.check.traces import Traces

_MUCH_BYTES = 256
"""More than a line for each prediction fills disks and slows callers."""
_MUCH_AT_LOAD_BYTES = 64 << 10
_SHOWN = 3
_LINE_SHOWN = 100


def judge_output(printed_bytes: int, predictions: int, printed: str, *, load_bytes: int) -> Finding:
    """How much it prints with each prediction, and when it is loaded."""
    each = printed_bytes / max(1, predictions)
    facts = {"bytes": printed_bytes, "predictions": predictions, "load_bytes": load_bytes}
    if load_bytes > _MUCH_AT_LOAD_BYTES and each <= _MUCH_BYTES:
        return Finding(Look.OUTPUT, Verdict.WARNING, f"It prints {bytes_text(load_bytes)} when it is loaded.", facts)
    if printed_bytes <= 0:
        return Finding(Look.OUTPUT, Verdict.OK, "It prints nothing when it predicts.", facts)
    last = next((line.strip() for line in reversed(printed.splitlines()) if line.strip()), "")[:_LINE_SHOWN]
    sentence = f"It prints {bytes_text(each)} with every prediction, such as '{last}'."
    if each < 1:
        return Finding(Look.OUTPUT, Verdict.NOTE, f"It prints now and then when it predicts, such as '{last}'.", facts)
    if each > _MUCH_BYTES:
        sentence = f"{sentence[:-1]}: at a hundred a second that is {bytes_text(each * 100 * 86_400)} a day."
        return Finding(Look.OUTPUT, Verdict.WARNING, sentence, facts)
    return Finding(Look.OUTPUT, Verdict.NOTE, sentence, facts)


def judge_outside(traces: Traces, changed: Sequence[str], *, survivors: int) -> Finding:
    """What it left outside its worker, the worst first, in one sentence."""
    facts = {
        "written": traces.written[:200],
        "changed": list(changed)[:200],
        "temporary": traces.temporary[:200],
        "caches": traces.caches[:200],
        "removed": traces.removed[:200],
        "connects": traces.connects[:200],
        "listens": traces.listens[:200],
        "starts": traces.starts[:200],
        "survivors": survivors,
    }
    broken, warned, noted = [], [], []
    if changed:
        broken.append(f"changes its own package ({_listed(changed)}), so that the next worker refuses to load it")
    if traces.removed:
        broken.append(f"removes files outside its folder ({_listed(traces.removed)})")
    if traces.written:
        warned.append(f"writes outside its folder ({_listed(traces.written)})")
    if traces.temporary:
        warned.append(f"leaves temporary files behind ({_listed(traces.temporary)})")
    if survivors:
        warned.append(f"starts processes that outlive its worker ({survivors})")
    if traces.connects:
        warned.append(f"connects to the network ({_listed(traces.connects)})")
    if traces.listens:
        warned.append(f"listens on the network ({_listed(traces.listens)})")
    if traces.starts:
        noted.append(f"starts programs ({_listed(traces.starts)})")
    if traces.caches:
        noted.append(f"keeps a cache in its home folder ({_listed(traces.caches)})")
    said = broken + warned + noted
    if not said:
        return Finding(Look.OUTSIDE, Verdict.OK, "It wrote, started and connected to nothing.", facts)
    verdict = Verdict.BROKEN if broken else Verdict.WARNING if warned else Verdict.NOTE
    return Finding(Look.OUTSIDE, verdict, f"It {'; it '.join(said)}.", facts)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
