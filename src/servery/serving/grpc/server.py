"""The gateway's gRPC server: its services, its limits, and its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import grpc
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import DESCRIPTOR as REFLECTION_FILE

from servery.errors import AddressRefused, InvalidInput, ServeryError
from servery.serving.dialects.dialect import Refusal
from servery.serving.gateway import Gateway
from servery.serving.grpc.calls import Context, Inference
from servery.serving.grpc.codes import failure_of_error
from servery.serving.grpc.health import Health
from servery.serving.grpc.management import Fields, Management
from servery.serving.grpc.messages import HEALTH, INFERENCE, Method, load_pool, methods_of
from servery.serving.site import Site

_KEEPALIVE_MS = 60_000
"""A caller that vanished is asked for a sign of life after this long; its calls end when none comes within 20 s."""


class GrpcServer:
    """Listens from ``open`` on, until ``close``."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    async def close(self, timeout_seconds: float) -> None:
        """Take no more calls, answer those that are under way, and return when they are; or end them in the end."""
        await self._server.stop(timeout_seconds)


async def open_server(site: Site, gateway: Gateway, *, host: str, port: int) -> GrpcServer:
    """Raises AddressRefused: the port is in use, or the address is none of this machine's."""
    options = (
        ("grpc.max_receive_message_length", site.body_bytes_max),
        ("grpc.max_send_message_length", site.body_bytes_max),
        ("grpc.so_reuseport", 0),  # Or else two gateways would share a port, and neither know.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    )
    server = grpc.aio.server(options=options)
    pool = load_pool()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(INFERENCE, _inference_handlers(site, methods_of(pool, INFERENCE))),
            grpc.method_handlers_generic_handler(
                HEALTH, Health(site, lambda: gateway.ready, methods_of(pool, HEALTH)).handlers()
            ),
        )
    )
    pool.AddSerializedFile(REFLECTION_FILE.serialized_pb)
    reflection.enable_server_reflection((INFERENCE, HEALTH, reflection.SERVICE_NAME), server, pool)
    try:
        server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError:
        raise AddressRefused(f"Cannot listen on port {port} of {host}; choose another with --grpc-port.") from None
    await server.start()
    return GrpcServer(server)


def _inference_handlers(site: Site, methods: Mapping[str, Method]) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    calls = Inference(site)
    small = Management(site.oip).answers()
    return {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(calls.infer),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(calls.stream),
        **{name: grpc.unary_unary_rpc_method_handler(_small(methods[name], answer)) for name, answer in small.items()},
    }


def _small(method: Method, answer: Callable[[Fields], Fields]) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """A call that is answered at once, by the gateway itself."""

    async def call(body: bytes, context: Context) -> bytes:
        try:
            return method.write(answer(method.read(body)))
        except DecodeError:
            wrong = InvalidInput(method.request_name, expected="a message of that type", got="other bytes")
            await failure_of_error(wrong).abort(context)
        except (ServeryError, Refusal) as error:
            await failure_of_error(error).abort(context)

    return call
