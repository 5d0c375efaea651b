"""``servery predict``: send data to an endpoint, or load a model right here and ask it."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from servery.cli.options import Home, Json, Server, connect
from servery.cli.output import print_json
from servery.errors import InvalidInput

_JSON, _CSV = "application/json", "text/csv"
_CONTENT_TYPES = {
    ".json": _JSON,
    ".csv": _CSV,
    ".parquet": "application/vnd.apache.parquet",
    **dict.fromkeys((".arrow", ".arrows"), "application/vnd.apache.arrow.stream"),
}


def add_to(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    target: Annotated[str, typer.Argument(metavar="ENDPOINT|MODEL_URI", help="Where to ask.")],
    data: Annotated[
        str | None, typer.Argument(metavar="[JSON]", help="A list of inputs, or a whole scoring request.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="Read a .json, .csv, .parquet or .arrow file instead; '-' is standard input."
        ),
    ] = None,
    server: Server = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Ask an endpoint, or a model, about some data. A model is loaded right here, without a server."""
    body, content_type = _read(data, file)
    request = _request(body) if content_type == _JSON else body
    if _is_model_uri(target):
        predictions = _predict_here(target, request, content_type, server, home)
        print_json({"predictions": predictions} if json else predictions)
        return
    with connect(server, home) as client:
        answer = client.ask(target, request, content_type)
    if json:
        print_json(answer)
        return
    print_json(answer.predictions)
    if sys.stderr.isatty():
        typer.echo(f"{answer.model_version}, {answer.latency_ms:.1f} ms", err=True)


def _read(data: str | None, file: Path | None) -> tuple[bytes, str]:
    """The data and its media type."""
    if (data is None) is (file is None):
        raise typer.BadParameter("give JSON, or -i FILE")
    if file is None:
        return (data or "").encode(), _JSON
    if str(file) == "-":
        body = sys.stdin.buffer.read()
        return body, _JSON if body.lstrip()[:1] in (b"{", b"[", b'"') else _CSV
    content_type = _CONTENT_TYPES.get(file.suffix.lower())
    if content_type is None:
        raise InvalidInput("--input", expected="a .json, .csv, .parquet or .arrow file, or '-'", got=str(file))
    try:
        body = file.read_bytes()
    except OSError as error:
        raise InvalidInput("--input", expected="a file that can be read", got=f"{file} ({error.strerror})") from None
    return body, content_type


def _request(body: bytes) -> bytes:
    """A bare list becomes ``inputs``; a whole request goes as it came."""
    from servery.client.scoring import encode_request

    try:
        parsed = json_module.loads(body)
    except ValueError as error:
        raise InvalidInput("JSON", expected=f"valid JSON ({error})", got=body[:80].decode(errors="replace")) from None
    return body if isinstance(parsed, dict) else encode_request(parsed)


def _is_model_uri(target: str) -> bool:
    return target.startswith("models:/") or "/" in target or (Path(target) / "MLmodel").is_file()


def _predict_here(uri: str, request: bytes, content_type: str, server: str | None, home: Path | None) -> Any:
    from servery.client import load_model
    from servery.client.load import answer_here

    answer = answer_here(load_model(uri, server=server, home=home), request, content_type)
    return answer["predictions"] if isinstance(answer, dict) and "predictions" in answer else answer
