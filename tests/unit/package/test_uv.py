"""uv's settings hold every credential, its variables none; and its words become one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from servery.config import PackageSources, package_sources
from servery.package.uv import failure_sentence, prepare_folder, settings_text, uv_variables, without_credentials

ENVIRON = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "UV_DEFAULT_INDEX": "internal=https://me:secret@index/simple",
    "UV_INDEX": "https://a/simple b=https://b/simple",
    "PIP_FIND_LINKS": "/wheels /more",
    "HTTPS_PROXY": "http://me:secret@proxy:3128",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "MLFLOW_TRACKING_TOKEN": "secret",
}


def test_the_machines_variables_say_where_packages_come_from() -> None:
    sources = package_sources(ENVIRON)
    assert tomllib.loads(settings_text(sources)) == {
        "index-url": "https://me:secret@index/simple",
        "extra-index-url": ["https://a/simple", "https://b/simple"],
        "find-links": ["/wheels", "/more"],
        "https-proxy": "http://me:secret@proxy:3128",
    }


def test_no_credential_is_among_the_variables_of_an_installer() -> None:
    variables = uv_variables(package_sources(ENVIRON))
    assert variables["PATH"] == "/usr/bin"
    assert not [name for name, value in variables.items() if "secret" in value]


def test_uvs_own_variables_count_more_than_pips() -> None:
    sources = package_sources({"UV_INDEX_URL": "https://uv/simple", "PIP_INDEX_URL": "https://pip/simple"})
    assert sources.index_url == "https://uv/simple"


def test_the_settings_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "uv", PackageSources(offline=True))
    assert (tmp_path / "uv" / "uv.toml").stat().st_mode & 0o777 == 0o600
    assert tomllib.loads((tmp_path / "uv" / "uv.toml").read_text()) == {"offline": True}


def test_credentials_are_taken_out_of_what_uv_prints() -> None:
    assert without_credentials("at https://me:secret@index/simple/x and b") == "at https://***@index/simple/x and b"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            (
                "Using Python 3.11.7 environment at: v\nerror: No solution found when resolving dependencies\n"
                "  cause: Because there is no version of numpy==99.1 and you require numpy==99.1, we can\n"
                "         conclude that your requirements are unsatisfiable.\n"
            ),
            (
                "No solution found when resolving dependencies: Because there is no version of numpy==99.1 and you "
                "require numpy==99.1, we can conclude that your requirements are unsatisfiable"
            ),
        ),
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because six was not found in the registry.\n",
            "No solution found when resolving dependencies: Because six was not found in the registry",
        ),
        (
            "error: Failed to fetch: https://index/simple/six/\n  cause: dns error\n",
            (
                "there is no network to the packages, and 'six==1.16.0' is not on this machine "
                "(Failed to fetch: https://index/simple/six/: dns error)"
            ),
        ),
        (
            (
                "error: Failed to build `numpy==1.14.5`\n  cause: The build backend returned an error\n\n"
                "  [stderr]\n  Traceback (most recent call last):\n  ModuleNotFoundError: No module named 'distutils'\n"
            ),
            (
                "Failed to build `numpy==1.14.5`: The build backend returned an error: "
                "ModuleNotFoundError: No module named 'distutils'"
            ),
        ),
        ("error: cannot write /home/me/.servery/environments/x/uv.toml\n", "cannot write …"),
        ("", "uv gave no cause"),
    ],
)
def test_the_cause_in_one_sentence(output: str, sentence: str) -> None:
    assert failure_sentence(output, ["numpy", "six==1.16.0 --hash=sha256:00"]) == sentence
