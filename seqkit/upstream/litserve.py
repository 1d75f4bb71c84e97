"""Undocumented parts of LitServe."""

from typing import Any


def request_shutdown(server: Any) -> None:
    """Let a running ``LitServer`` stop: it answers the requests that wait, and ends its processes.

    LitServe documents a request to ``/shutdown`` only. It has no handler of SIGTERM, and after KeyboardInterrupt
    its monitor takes the end of a worker for a crash. Call this in another thread than ``LitServer.run``. Checked
    with litserve 0.2.19.
    """
    server._shutdown_event.set()
