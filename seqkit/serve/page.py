"""The page of the server: one HTML file, which asks no other server for anything."""

import base64
import hashlib
import re
from importlib.resources import files


def read_page() -> tuple[str, dict[str, str]]:
    """Return the page and the headers to send with it.

    The Content-Security-Policy allows only the page's own script and style, by their hashes, and requests to this
    server. So no text that the page shows can become a script.
    """
    page = (files("seqkit.serve") / "page.html").read_text(encoding="utf-8")
    policy = {
        "default-src": "'none'",
        "script-src": _hash(page, "script"),
        "style-src": _hash(page, "style"),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return page, {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _hash(page: str, tag: str) -> str:
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
