"""The server: LitServe with the page, errors in plain words, and an end that answers what waits."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any

from fastapi.exceptions import RequestValidationError
from litserve import LitServer, Request, Response
from litserve.utils import WorkerSetupStatus

from seqkit.class_paths import trusted_modules
from seqkit.options import choice, integer, number
from seqkit.serve.answers import to_json
from seqkit.serve.body_limit import BodyLimit
from seqkit.serve.info import describe
from seqkit.serve.page import read_page
from seqkit.serve.requests import Limits
from seqkit.serve.worker import PredictAPI
from seqkit.tasks import load
from seqkit.tasks.checkpoints.loading import check_device
from seqkit.tasks.prediction import MAX_TOKENS
from seqkit.upstream.litserve import request_shutdown

_HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # those that LitServe takes
_ACCELERATORS = ("auto", "cpu", "cuda", "mps")
_GRACE = 5.0  # seconds that a process has to end


def serve(
    checkpoint: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_tokens: int = MAX_TOKENS,
    max_rows: int = 1000,
    max_request_tokens: int = 200_000,
    max_bytes: int = 8_000_000,
    timeout: float = 30.0,
    accelerator: str = "auto",
    devices: int = 1,
    workers: int = 1,
    trust: str | Sequence[str] = (),
) -> None:
    """Serve a model until the process gets SIGTERM or Ctrl-C, and answer what waits by then.

    The server starts further processes, so a script calls it under ``if __name__ == "__main__":``.

    Args:
        checkpoint: The checkpoint of a task, or a folder of its ``save_pretrained``.
        host: The address: ``127.0.0.1`` for this machine only, ``0.0.0.0`` (or ``::``) for all networks.
        port: The port, from 1024.
        max_tokens: The token budget of a batch, before encoding; a longer row is a batch of its own.
        max_rows: The most rows of a request.
        max_request_tokens: The most tokens of a request, before encoding.
        max_bytes: The most bytes of a request.
        timeout: Seconds after which a request that still waits is refused; 0 for no limit.
        accelerator: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best that exists.
        devices: The number of GPUs.
        workers: The number of processes with a model, on each device.
        trust: Names of modules whose classes the checkpoint may name.

    Raises:
        ValueError: An option is out of range, this machine lacks the accelerator, or the file is no checkpoint or
            names a class that may not be used.
        OSError: The port is in use.
        ChildProcessError: A process of the server ended.
    """
    host, port = choice("host", host, _HOSTS), integer("port", port, 1024, 65535)
    max_tokens = integer("max_tokens", max_tokens, 1)
    limits = Limits(
        rows=integer("max_rows", max_rows, 1),
        tokens=integer("max_request_tokens", max_request_tokens, 1),
        bytes=integer("max_bytes", max_bytes, 1),
    )
    workers = integer("workers", workers, 1)
    if choice("accelerator", accelerator, _ACCELERATORS) != "auto":
        check_device(accelerator)
    trusted = tuple(trusted_modules(trust))
    _check_port(host, port)
    model = load(checkpoint, map_location="cpu", trust=trusted)
    info = describe(model, limits)
    del model  # each worker loads its own
    server = Server(
        PredictAPI(str(checkpoint), trust=trusted, max_tokens=max_tokens, limits=limits, workers=workers),
        address=f"http://{'[::]' if host == '::' else host}:{port}",
        accelerator=accelerator,
        devices=integer("devices", devices, 1),
        workers_per_device=workers,
        timeout=number("timeout", timeout, 0) or False,
        model_metadata=info,
        middlewares=[(BodyLimit, {"max_bytes": limits.bytes})],
        disable_openapi_url=True,  # its page loads scripts from other servers
    )
    try:
        with server.stopped_by_signals():
            server.run(host=host, port=port, num_api_servers=1, log_level="error", generate_client_file=False)
    except KeyboardInterrupt:
        pass  # before the server was ready
    except (EOFError, ConnectionError) as error:
        raise ChildProcessError("a process of the server ended; its messages are above") from error
    finally:
        _end_processes()


class Server(LitServer):  # type: ignore[misc]  # LitServe has no types
    """LitServe with a page at ``/`` and errors as ``{"detail": "a message"}``.

    Args:
        api: Loads the model and predicts.
        address: The address that is printed when the server is ready.
        options: Those of ``LitServer``.

    Attributes:
        is_ready: Whether the model is loaded.
    """

    def __init__(self, api: PredictAPI, *, address: str, **options: Any) -> None:
        self.address = address
        self.is_ready = False
        super().__init__(api, **options)

    def register_endpoints(self) -> None:
        """Register the page before LitServe's own ``/``: the first one is used."""
        page, headers = read_page()

        @self.app.get("/")  # type: ignore[untyped-decorator]
        async def show_page() -> Response:
            return Response(page, media_type="text/html", headers=headers)

        self.app.add_exception_handler(RequestValidationError, _explain_body)
        self.app.add_exception_handler(HTTPStatus.BAD_REQUEST, _explain_unreadable)
        super().register_endpoints()

    def verify_worker_status(self) -> None:
        """Wait until the model is loaded.

        Raises:
            ChildProcessError: A process that loads it has ended.
        """
        while any(status != WorkerSetupStatus.READY for status in self.workers_setup_status.values()):
            if not all(worker.is_alive() for worker in self.inference_workers):
                raise ChildProcessError("a process could not load the model; its messages are above")
            time.sleep(0.05)
        self.is_ready = True

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Print the address as soon as requests are taken."""
        async with super().lifespan(app):
            print(f"{self.model_metadata['task']} at {self.address} (Ctrl-C ends)", flush=True)
            yield

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let the first SIGTERM or Ctrl-C stop the server; further ones change nothing."""
        process, is_stopping = os.getpid(), False

        def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            nonlocal is_stopping
            if is_stopping or os.getpid() != process:  # forked processes inherit the handler
                return
            is_stopping = True
            if not self.is_ready:
                raise KeyboardInterrupt
            sys.stderr.write("stopping; requests that wait are answered\n")
            threading.Thread(target=request_shutdown, args=(self,)).start()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _explain_body(request: Request, error: RequestValidationError) -> Response:  # noqa: ARG001
    """Answer a body that is no JSON."""
    first = error.errors()[0]
    message = 'the body is empty; send an object, {"row": ...} or {"rows": [...]}'
    if first["type"] == "json_invalid":
        message = f"the body is no JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
    return Response(to_json({"detail": message}), 422, media_type="application/json")


async def _explain_unreadable(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Answer a body that the parser of JSON cannot read at all."""
    message = "the body is no JSON in UTF-8, or has thousands of lists within lists; send an object in UTF-8"
    return Response(to_json({"detail": message}), 422, media_type="application/json")


def _check_port(host: str, port: int) -> None:
    """Check that nobody listens on a port, before the model is loaded.

    Raises:
        OSError: It is in use.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno, f"port {port} of {host} cannot be used ({error.strerror}); give another one by --port"
            ) from error


def _end_processes() -> None:
    """End what an error or an early signal has left."""
    left = multiprocessing.active_children()
    for child in left:
        child.terminate()
    for child in left:
        child.join(_GRACE)
        if child.is_alive():
            child.kill()
