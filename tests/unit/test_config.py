"""Settings: file < environment < flags, and nothing is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from servery.config import (
    ClientConfig,
    ControlConfig,
    GatewayConfig,
    ServeConfig,
    load_config,
    load_mlflow,
    names_server,
    object_store_settings,
    prepare_home,
    refuse_open_address,
)
from servery.errors import AddressRefused, ConfigInvalid, HomeUnusable


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "servery.toml").write_text('[control]\nport = 1\nhost = "localhost"\nartifact_bytes_max = 9\n')
    environ = {"SERVERY_PORT": "2", "SERVERY_HOST": "::1"}
    config = load_config(ControlConfig, {"home": tmp_path, "port": 3, "host": None}, environ=environ)
    assert (config.port, config.host, config.artifact_bytes_max) == (3, "::1", 9)


def test_the_home_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "servery.toml").write_text("[serve]\nworkers = 4\n")
    assert load_config(ServeConfig, {}, environ={"SERVERY_HOME": str(tmp_path)}).workers == 4


def test_a_variable_of_another_process_is_known_and_left_alone(tmp_path: Path) -> None:
    config = load_config(ClientConfig, {"home": tmp_path}, environ={"SERVERY_WORKERS": "4"})
    assert config.server == "http://127.0.0.1:8400"


@pytest.mark.parametrize(
    ("file", "environ", "says"),
    [
        ("[control]\nprot = 1\n", {}, "unknown key 'control.prot'"),
        ("[kitchen]\nport = 1\n", {}, "unknown entry 'kitchen'"),
        ("port = 1\n", {}, "unknown entry 'port'"),
        ('[control]\nhome = "/x"\n', {}, "unknown key 'control.home'"),
        ("[control\n", {}, "cannot be read"),
        ("", {"SERVERY_PROT": "1"}, "SERVERY_PROT is no setting"),
        ("", {"SERVERY_PORT": "many"}, "'servery control' is invalid"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_named(
    tmp_path: Path, file: str, environ: dict[str, str], says: str
) -> None:
    (tmp_path / "servery.toml").write_text(file)
    with pytest.raises(ConfigInvalid, match=says):
        load_config(ControlConfig, {"home": tmp_path}, environ=environ)


def test_a_home_is_made_private_to_its_owner(tmp_path: Path) -> None:
    home = prepare_home(tmp_path / "a" / "home")
    assert home.stat().st_mode & 0o777 == 0o700
    assert list(home.iterdir()) == []


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match="choose another with --home"):
        prepare_home(tmp_path / "file" / "home")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_an_address_off_loopback_is_refused_unless_one_insists(host: str) -> None:
    with pytest.raises(AddressRefused, match="--insecure-no-auth"):
        refuse_open_address(host, insecure_no_auth=False)
    refuse_open_address(host, insecure_no_auth=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_is_always_allowed(host: str) -> None:
    refuse_open_address(host, insecure_no_auth=False)


def test_each_limit_of_a_gateway_is_a_limit_of_serve_too() -> None:
    own = {"server", "gateway_port"}
    assert set(GatewayConfig.__slots__) - own <= set(ServeConfig.__slots__)


def test_a_server_is_named_by_a_flag_the_environment_or_the_file_and_not_by_the_default(tmp_path: Path) -> None:
    home = {"home": tmp_path}
    assert not names_server(home, environ={})
    assert names_server({**home, "server": "http://127.0.0.1:8400"}, environ={})
    assert names_server(home, environ={"SERVERY_SERVER": "http://127.0.0.1:8400"})
    (tmp_path / "servery.toml").write_text('[client]\nserver = "http://127.0.0.1:8400"\n')
    assert names_server(home, environ={})


def test_mlflow_s_variables_are_read_and_its_secrets_are_not_shown() -> None:
    environ = {
        "MLFLOW_TRACKING_URI": "https://ada:pw-1@mlflow.example",
        "MLFLOW_TRACKING_TOKEN": "t-1",
        "MLFLOW_TRACKING_PASSWORD": "pw-2",
        "MLFLOW_TRACKING_INSECURE_TLS": "true",
    }
    config = load_mlflow(environ=environ)
    assert (config.token, config.insecure_tls, config.registry_uri) == ("t-1", True, None)
    assert not any(secret in repr(config) for secret in ("t-1", "pw-1", "pw-2"))


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db", "databricks", "/srv/mlruns"])
def test_a_tracking_uri_that_is_no_address_names_no_server(uri: str) -> None:
    assert load_mlflow(environ={"MLFLOW_TRACKING_URI": uri}).tracking_uri is None


def test_object_stores_are_reached_as_their_variables_say() -> None:
    environ = {"AWS_REGION": "eu", "HOME": "/", "MLFLOW_S3_ENDPOINT_URL": "http://here", "AWS_PROFILE": ""}
    assert object_store_settings(environ=environ) == {"AWS_REGION": "eu", "AWS_ENDPOINT_URL": "http://here"}
