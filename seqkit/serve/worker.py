"""The process with the model: it takes the requests that wait, predicts them as one batch, and answers them."""

import signal
import time
from queue import Empty
from types import FrameType
from typing import Annotated, Any

import torch
from fastapi import Body
from litserve import LitAPI, Response
from litserve.loops import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType

from seqkit.serve.answers import Answer, answer_all, refusal, to_json
from seqkit.serve.requests import Limits, Request, RequestReader
from seqkit.tasks import SequenceModule, load


class PredictAPI(LitAPI):  # type: ignore[misc]  # LitServe has no types
    """What LitServe calls: it loads the model, reads requests and predicts them.

    Args:
        checkpoint: The checkpoint's path.
        trust: Names of modules whose classes the checkpoint may name.
        max_tokens: The token budget of a batch.
        limits: The most that one request may hold.
        workers: The number of processes that share the CPU.
    """

    def __init__(
        self, checkpoint: str, *, trust: tuple[str, ...], max_tokens: int, limits: Limits, workers: int = 1
    ) -> None:
        super().__init__(loop=BudgetLoop(max_tokens))
        self.checkpoint = checkpoint
        self.trust = trust
        self.max_tokens = max_tokens
        self.limits = limits
        self.workers = workers

    def setup(self, device: str) -> None:
        """Load the model."""
        if self.workers > 1:
            torch.set_num_threads(max(1, torch.get_num_threads() // self.workers))
        self.model: SequenceModule = load(self.checkpoint, map_location=device, trust=self.trust).eval()
        self.reader = RequestReader(self.model.spec, self.limits)

    # FastAPI reads the annotation: the body is JSON of any form.
    def decode_request(self, request: Annotated[Any, Body()]) -> Request:
        """Check a request's body.

        Raises:
            ValueError: It is of another form, or too large; see :class:`~seqkit.serve.requests.RequestReader`.
        """
        return self.reader.read(request)

    def predict(self, requests: list[Request]) -> list[Answer]:
        """Predict the rows of all requests together, and answer each."""
        return answer_all(self.model, requests, self.max_tokens)


class BudgetLoop(LitLoop):  # type: ignore[misc]
    """Predict the requests that wait as one batch, under a token budget.

    LitServe's own loop waits for a fixed time until a batch is full. This one never waits while there is a request:
    what arrives during a batch makes up the next one. So a lone client has no delay, and batches grow with the
    load.

    Args:
        max_tokens: From this number of tokens on, no further request joins a batch.

    Attributes:
        is_stopping: Whether the process ends as soon as no request waits.
    """

    def __init__(self, max_tokens: int) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.is_stopping = False

    def __call__(self, *arguments: Any, **options: Any) -> None:
        """Run until the process is stopped; LitServe calls this in a process of its own."""
        # Ctrl-C reaches all processes, but this one must answer what waits before it ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.stop)
        super().__call__(*arguments, **options)

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """End as soon as no request waits."""
        self.is_stopping = True

    def run(
        self,
        lit_api: PredictAPI,
        device: str,  # noqa: ARG002
        worker_id: int,  # noqa: ARG002
        request_queue: Any,
        transport: Any,
        workers_setup_status: Any,  # noqa: ARG002
        callback_runner: Any,  # noqa: ARG002
    ) -> None:
        """Wait for a request, and answer it with those that wait by then.

        Raises:
            SystemExit: No request waits after :meth:`stop`, or the server's other processes have ended.
        """
        waiting: list[tuple[Any, Request]] = []
        tokens = 0
        while tokens < self.max_tokens:
            item = self._next(request_queue, block=not waiting)
            if item is None:
                break
            client, since, body = item
            try:
                if lit_api.request_timeout and time.monotonic() - since > lit_api.request_timeout:
                    late = f"the request waited for more than {lit_api.request_timeout:g} s; the server is too busy"
                    self._send(transport, client, Answer(503, to_json({"detail": late})))
                    continue
                request = lit_api.decode_request(body)
            except ValueError as error:
                self._send(transport, client, refusal(error))
                continue
            waiting.append((client, request))
            tokens += request.tokens
        answers = lit_api.predict([request for _, request in waiting])
        for (client, _), answer in zip(waiting, answers, strict=True):
            self._send(transport, client, answer)

    def _next(self, queue: Any, *, block: bool) -> tuple[Any, float, Any] | None:
        """Return the client, the time of arrival and the body of the next request, or None if there is none."""
        try:
            consumer, uid, since, body = queue.get(timeout=1.0) if block else queue.get_nowait()
        except Empty:
            if block and self.is_stopping:
                raise SystemExit from None
            return None
        except (EOFError, OSError):
            raise SystemExit from None
        return (consumer, uid), since, body

    def _send(self, transport: Any, client: tuple[int, str], answer: Answer) -> None:
        consumer, uid = client
        self.put_response(
            transport=transport,
            response_queue_id=consumer,
            uid=uid,
            response_data=Response(answer.body, answer.status, media_type="application/json"),
            status=LitAPIStatus.OK,
            response_type=LoopResponseType.REGULAR,
        )
