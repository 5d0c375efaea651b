"""What requirement lines lead to among what is installed, by what the installed distributions say."""

from __future__ import annotations

import importlib.metadata

import pytest
from packaging.requirements import Requirement

from servery.package.installed import brought_by, closure_of, read_requirement

INSTALLED = {
    "bread": ["flour>=1", "salt; extra == 'salted'", "snow; sys_platform == 'nowhere'"],
    "flour": ["grain"],
    "grain": None,
    "salt": ["bread"],
    "brunch": ["Bread[salted]", "not a requirement at all", "gone"],
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str] | None:
        if name.lower() not in INSTALLED:
            raise importlib.metadata.PackageNotFoundError(name)
        return INSTALLED[name.lower()]

    monkeypatch.setattr(importlib.metadata, "requires", requires)


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ((), set()),
        (("grain==1 --hash=sha256:00",), {"grain"}),
        (("bread",), {"bread", "flour", "grain"}),
        (("bread[salted]",), {"bread", "flour", "grain", "salt"}),
        (("brunch",), {"brunch", "bread", "flour", "grain", "salt", "gone"}),
        (("bread; python_version < '3'", "flour"), {"flour", "grain"}),
        (("--index-url https://host/simple", "./wheels/salt-1.0-py3-none-any.whl", "Not_There>1"), {"not-there"}),
    ],
    ids=["nothing", "a hash", "through others", "an extra", "an extra of another", "a marker", "no requirement"],
)
def test_lines_lead_to_what_an_installer_would_bring(lines: tuple[str, ...], names: set[str]) -> None:
    assert closure_of(lines) == names


def test_an_extra_brings_what_it_asks_for_besides() -> None:
    assert [str(one.name) for one in brought_by(Requirement("bread"))] == ["flour"]
    assert [str(one.name) for one in brought_by(Requirement("bread[salted]"))] == ["flour", "salt"]


@pytest.mark.parametrize("line", ["-r more.txt", "--no-index", "./a.whl", "what is this"])
def test_what_only_an_installer_understands_is_no_requirement(line: str) -> None:
    assert read_requirement(line) is None
