import inspect
import multiprocessing
from types import SimpleNamespace

import litserve

from seqkit.upstream.litserve import request_shutdown

CHANGED = f"litserve {litserve.__version__} differs from 0.2.19: adapt seqkit.upstream.litserve.{{}}"


def test_request_shutdown():
    message = CHANGED.format("request_shutdown (the event that LitServer.run waits for)")
    assert "self._shutdown_event.wait()" in inspect.getsource(litserve.LitServer.run), message
    server = SimpleNamespace(_shutdown_event=multiprocessing.Event())
    request_shutdown(server)
    assert server._shutdown_event.is_set()
