"""The story, told with real processes: nothing in it is simulated, and every failure is counted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from servery.cli.quickstart import training
from servery.cli.quickstart.corpus import OWN, Corpus, read_corpus
from servery.cli.quickstart.load import Counts, Load
from servery.cli.quickstart.stage import Stage, folder_for, kill_worker, stage
from servery.cli.quickstart.view import View, picture
from servery.client import Client
from servery.client.scoring import encode_request
from servery.clock import Clock, SystemClock

MODEL = ENDPOINT = "spam"
ALIAS = "champion"
_REPLICAS = 2
_CONNECTIONS = 8
_CALM_SECONDS = 1.5
"""How long the load runs before and after what happens under it."""
_AFTER_KILL_SECONDS = 4.0


def tell(data: Path | None, *, keep: bool, home: Path | None) -> int:
    """The whole story; exit status 0 when no request failed.

    Raises:
        ServeryError: a step did not work; the message says which and why.
    """
    training.check_libraries()
    corpus = read_corpus(data or OWN)
    clock = SystemClock()
    view = View(clock)
    with folder_for(home, keep=keep) as folder:
        first = _train_first(view, corpus, folder)
        view.heading("Start the control plane and a gateway")
        with stage(folder, clock, keep=keep) as staged, Client(staged.server) as client:
            view.line(f"servery up: control plane at {staged.server}, gateway at {staged.gateway}")
            _deploy_first(view, client, first)
            _ask(view, client, corpus)
            failures = _swap(view, client, corpus, staged, clock)
            failures += _kill(view, client, corpus, staged, clock)
            _go_on(view, staged, keep=keep)
    return 1 if failures else 0


def _train_first(view: View, corpus: Corpus, folder: Path) -> Path:
    view.heading("Train a first spam filter")
    with view.working("Training…"):
        model = training.train_first(corpus)
    right = training.accuracy(model, corpus.examine)
    view.line(
        f"From a few of {len(corpus.learn)} messages; it gets {right:.0%} of {len(corpus.examine)} new ones right."
    )
    view.heading("Package it")
    package = _new_folder(folder / "quickstart" / "first")
    with view.working("Packaging…"):
        training.package(model, corpus, package)
    files = ", ".join(sorted(path.name for path in package.iterdir()))
    view.line(f'servery.save_model(model, "first"): {files}')
    return package


def _deploy_first(view: View, client: Client, package: Path) -> None:
    view.heading("Register it")
    with view.working("Uploading…"):
        version = client.register(package, MODEL, ALIAS)
    view.line(f"{version.uri}, alias {ALIAS}, digest {str(version.digest)[:16]}")
    view.heading("Deploy it")
    with view.working("Workers start, load the model and answer its example…"):
        endpoint = client.deploy(ENDPOINT, f"models:/{MODEL}@{ALIAS}", replicas=_REPLICAS)
    view.line(f"{endpoint.url} serves {endpoint.entities[0].uri} with {_REPLICAS} workers")


def _ask(view: View, client: Client, corpus: Corpus) -> None:
    view.heading("Ask it about messages that it has never seen")
    rows = []
    for label in corpus.labels:
        for message in [message for message in corpus.examine if message.label == label][:4]:
            answer = client.ask(ENDPOINT, encode_request([message.text]))
            version = answer.model_version or ""
            rows.append((message.text, label, str(answer.predictions[0]), version, answer.latency_ms))
    view.answers(rows)


def _swap(view: View, client: Client, corpus: Corpus, staged: Stage, clock: Clock) -> int:
    view.heading("Train a better one, and move the alias to it under load")
    with view.working("Training, packaging, uploading…"):
        model = training.train_better(corpus)
        package = _new_folder(staged.home / "quickstart" / "better")
        training.package(model, corpus, package)
        version = client.register(package, MODEL)
    right = training.accuracy(model, corpus.examine)
    view.line(f"{version.uri} gets {right:.0%} right. {_CONNECTIONS} connections ask without a pause, then:")
    view.line(f"servery models alias {MODEL} {ALIAS} {version.version}")
    move = partial(asyncio.to_thread, client.set_alias, MODEL, ALIAS, version.version)
    return asyncio.run(_under_load(view, _load(client, corpus, clock), move, _CALM_SECONDS))


def _kill(view: View, client: Client, corpus: Corpus, staged: Stage, clock: Clock) -> int:
    view.heading("Kill a worker under load")

    async def kill() -> None:
        pid = kill_worker(staged.pid)
        view.line(f"kill -9 {pid}")

    return asyncio.run(_under_load(view, _load(client, corpus, clock), kill, _AFTER_KILL_SECONDS))


def _load(client: Client, corpus: Corpus, clock: Clock) -> Load:
    url = client.endpoint(ENDPOINT).url or ""
    return Load(url, [message.text for message in corpus.examine], corpus.labels, clock)


async def _under_load(view: View, load: Load, event: Callable[[], Awaitable[object]], after_seconds: float) -> int:
    """Let ``event`` happen while the load runs, show how it went; how many requests failed."""
    stop = asyncio.Event()
    with view.live(load.counts) as live:

        async def draw() -> None:
            while live is not None:
                live.update(picture(load.counts), refresh=True)
                await asyncio.sleep(0.2)

        drawing = asyncio.create_task(draw())
        running = asyncio.create_task(load.run(_CONNECTIONS, stop))
        try:
            await asyncio.sleep(_CALM_SECONDS)
            await event()
            await asyncio.sleep(after_seconds)
        finally:
            stop.set()
            counts: Counts = await running
            drawing.cancel()
    view.load(counts)
    return counts.failures.total()


def _go_on(view: View, staged: Stage, *, keep: bool) -> None:
    view.heading("Go on")
    if keep:
        view.line(f"Everything goes on running (home {staged.home}). Stop it with: kill {staged.pid}")
        view.line(f"export SERVERY_SERVER={staged.server}")
        view.line(f"servery predict {ENDPOINT} '[\"You won a prize, call now\"]'")
        view.line(f"servery rollback {ENDPOINT}")
    else:
        view.line("servery quickstart --keep    the same, and leave it running to play with")
        view.line("servery up                   your own: then servery register, servery deploy, servery predict")
        view.line("servery quickstart --data FILE    the story with your own messages")


def _new_folder(path: Path) -> Path:
    """A path where nothing is yet: a home that is used again has the folders of the time before."""
    if path.exists():
        shutil.rmtree(path)
    return path
