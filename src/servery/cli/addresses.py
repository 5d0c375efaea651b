"""Addresses: whether a port can be listened on, and which one is free."""

from __future__ import annotations

import socket

from servery.errors import AddressRefused


def check_port(host: str, port: int, flag: str) -> None:
    """Raises AddressRefused where ``port`` cannot be listened on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise AddressRefused(
            f"The address {host} is not known here ({error.strerror}); choose another with --host."
        ) from None
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: a port that only waits out its last connections counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise AddressRefused(
                f"Port {port} on {host} cannot be used ({error.strerror}); choose another with {flag}."
            ) from None


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
