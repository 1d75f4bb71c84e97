"""A limit on the bytes of a request's body."""

from typing import Any

from fastapi import HTTPException


class BodyLimit:
    """ASGI middleware that refuses a body of too many bytes, with an error that says the limit.

    A client reads the answer when it has sent its request, so the rest of a body is read and thrown away, up to a
    multiple of the limit.

    Args:
        app: The application.
        max_bytes: The largest allowed number of bytes.
    """

    def __init__(self, app: Any, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and count the bytes that the application reads."""
        size = 0

        async def counted() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= self.max_bytes:
                return message
            while message.get("more_body") and size <= 16 * self.max_bytes:
                message = await receive()
                size += len(message.get("body", b""))
            raise HTTPException(
                413,
                f"the request has more than {self.max_bytes:,} bytes, which the server takes at once; send several "
                f"requests, or start the server with a larger --max_bytes",
            )

        await self.app(scope, counted, send)
