"""Answers that say why a request is refused."""

from __future__ import annotations

from starlette.responses import PlainTextResponse

from edgefuse.util.printable import line


def refusal(error: Exception, code: int) -> PlainTextResponse:
    """Return an error's text as one line, without secrets and control characters: it may quote what the client has sent."""
    return PlainTextResponse(f"{line(str(error))}\n", code)
