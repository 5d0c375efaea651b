"""uv, the installer, as Servery runs it: which program, in which folder, with which variables, and what its words mean.

It gets the settings of :class:`PackageSources` in a ``uv.toml`` of the folder in which it runs, readable by its owner
only: a package's own build code sees the variables of uv's process, and no credential is among those. The file also
keeps uv from reading the settings of a folder further up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from servery.config import PackageSources
from servery.errors import EnvironmentFailed

_SENTENCE_LENGTH_MAX = 600
_NO_NETWORK = re.compile(
    r"error sending request|dns error|client error \(Connect\)|tcp connect error|Connection refused|"
    r"failed to lookup address|operation timed out|tunnel error|network was disabled|Could not connect|Couldn't connect"
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_PREFIX = re.compile(r"^(error:|cause:|hint:|Caused by:|[×╰├─▶│]+)\s*")
_PATH = re.compile(r"(?<![\w:/.])/(?:[\w.+-]+/)+[\w.+-]+")
_TAIL_LINE = re.compile(r"\s*(\w+Error|ModuleNotFoundError|error|fatal)\b.*", re.IGNORECASE)


def find_uv() -> str:
    """The program's path: that of the ``uv`` distribution beside us, else the one on the PATH.

    Raises:
        EnvironmentFailed: there is none.
    """
    try:
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise EnvironmentFailed("uv, which makes Python environments, is not installed: 'pip install uv' brings it.")
    return found


def prepare_folder(folder: Path, sources: PackageSources) -> None:
    """Make the new ``folder`` one that uv may run in."""
    folder.mkdir(mode=0o700, parents=True)
    descriptor = os.open(folder / "uv.toml", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(settings_text(sources))


def settings_text(sources: PackageSources) -> str:
    """The text of a ``uv.toml``. Strings of TOML are written as JSON's, which are the same for all that is no control
    character.
    """
    settings: dict[str, str | bool | list[str]] = {}
    if sources.index_url:
        settings["index-url"] = sources.index_url
    if sources.extra_index_urls:
        settings["extra-index-url"] = list(sources.extra_index_urls)
    if sources.find_links:
        settings["find-links"] = list(sources.find_links)
    if sources.no_index:
        settings["no-index"] = True
    if sources.offline:
        settings["offline"] = True
    for kind, url in sources.proxies.items():
        settings[kind] = url.split(",") if kind == "no-proxy" else url
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def uv_variables(sources: PackageSources) -> dict[str, str]:
    """The environment variables of uv's process, and so of every build that it runs."""
    fixed = {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "GIT_TERMINAL_PROMPT": "0", "NO_COLOR": "1"}
    return {**sources.variables, **fixed}


def without_credentials(text: str) -> str:
    """The text with ``***`` for the user and password of each URL."""
    return _CREDENTIALS.sub("***", text)


def failure_sentence(output: str, requirements: Sequence[str]) -> str:
    """Why uv failed, in one sentence, from what it printed; ``requirements`` are the lines that it was given."""
    heads, tail = _causes(without_credentials(output).splitlines())
    cause = _PATH.sub("…", ": ".join(head.rstrip(".:") for head in heads) or "uv gave no cause")
    if tail and tail not in cause:
        cause = f"{cause}: {tail}"
    if _NO_NETWORK.search(output):
        missing = _missing(output, requirements)
        what = f"'{missing}' is not on this machine" if missing else "something is not on this machine"
        cause = f"there is no network to the packages, and {what} ({cause})"
    return cause if len(cause) <= _SENTENCE_LENGTH_MAX else cause[: _SENTENCE_LENGTH_MAX - 1] + "…"


def _causes(lines: Sequence[str]) -> tuple[list[str], str]:
    """The error and its causes, each without its mark, and the last telling line of what a build printed."""
    heads: list[str] = []
    tail, is_begun, is_printed = "", False, False
    for line in lines:
        bare = line.strip()
        is_begun = is_begun or bare.startswith(("error:", "×"))
        if not is_begun or not bare:
            continue
        if bare.startswith(("[std", "--- std")):
            is_printed = True
        elif is_printed:
            tail = bare if _TAIL_LINE.fullmatch(bare) else tail
        elif _PREFIX.match(bare):
            heads.append(_PREFIX.sub("", bare))
        elif heads:
            heads[-1] += f" {bare}"
    return heads, tail


def _missing(output: str, requirements: Sequence[str]) -> str | None:
    """The requirement that uv could not get, as it was asked for where it is one of the given."""
    found = re.search(r"/simple/([a-z0-9-]+)/|Because ([A-Za-z0-9._-]+) was not found|`([A-Za-z0-9._-]+)==", output)
    if found is None:
        return None
    name = next(group for group in found.groups() if group)
    plain = re.sub(r"[-_.]+", "-", name).lower()
    for line in requirements:
        if re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", line)[0]).lower() == plain:
            return line.partition(" --hash")[0].partition(" ;")[0].strip()
    return name


def command(*arguments: str) -> list[str]:
    """A call of uv that asks nobody anything. Raises EnvironmentFailed when there is no uv."""
    return [find_uv(), *arguments]
