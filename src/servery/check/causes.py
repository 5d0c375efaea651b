"""Why a model did not load or answer: what it said, held against what it tried and what the machine has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from servery.check.traces import Traces

_ACCELERATOR = re.compile(
    r"cuda|cudnn|cublas|\bgpus?\b|gpu_|nvidia|nvml|\bhip\b|rocm|accelerator|no kernel image", re.IGNORECASE
)
_MISSING = re.compile(r"No module named '([\w.]+)'|needs ([\w.]+), which its environment does not have")
_MISFIT = re.compile(r"ImportError: |cannot import name|Can't get attribute|incompatible pickle|unsupported pickle")
"""The module is there, in a release that lacks what the model was made with."""
_NETWORK = re.compile(
    r"connection|resol|name or service|getaddrinfo|urlopen|network|unreachable|timed? ?out|"
    r"temporary failure|socket|proxy|offline|max retries|refused|gaierror|ssl",
    re.IGNORECASE,
)
_LOST_FILE = re.compile(r"FileNotFoundError|No such file|cannot open shared object", re.IGNORECASE)


class Kind(Enum):
    GPU = "gpu"
    MODULE = "module"
    NETWORK = "network"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Cause:
    kind: Kind
    sentence: str


def cause_of(what: str, text: str, traces: Traces, *, has_gpu: bool) -> Cause:
    """One sentence for ``what`` went wrong ("It does not load"); ``text`` is what was said of it."""
    said = text.strip().rstrip(".")
    if not has_gpu and (_ACCELERATOR.search(said) or (traces.devices and _LOST_FILE.search(said))):
        return Cause(Kind.GPU, f"{what}: it needs a GPU, and this machine has none ({said}).")
    missing = _MISSING.search(said)
    if missing is not None:
        name = next(group for group in missing.groups() if group)
        return Cause(Kind.MODULE, f"{what}: its requirements do not bring {name} ({said}).")
    if _MISFIT.search(said):
        return Cause(Kind.MODULE, f"{what}: what its requirements bring does not fit it ({said}).")
    if traces.connects and _NETWORK.search(said):
        where = ", ".join(traces.connects[:3])
        return Cause(Kind.NETWORK, f"{what}: it needs the network, and could not reach {where} ({said}).")
    return Cause(Kind.OTHER, f"{what}: {said}.")
