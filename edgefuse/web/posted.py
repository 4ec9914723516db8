"""What clients send: bodies of POST requests, a JSON object with known keys and never a form of another site; and their leaving."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

T = TypeVar("T")
MAX_BODY_BYTES = 1024


async def posted(request: Request, key: str, kind: type[T]) -> tuple[T | None, int]:
    """Return the value of type `kind` from a posted JSON object with the one key `key`, and 200; for any other body None and the status."""
    given, status = await posted_object(request, {key: kind})
    return (given[key] if given is not None else None), status


async def posted_object(
    request: Request, kinds: Mapping[str, type[Any] | tuple[type[Any], ...]], most: int = MAX_BODY_BYTES
) -> tuple[dict[str, Any] | None, int]:
    """Return a posted JSON object with exactly these keys and types of values, and 200; for any other body None and the status.

    most: largest body in bytes.
    """
    read = await body(request, most)
    try:
        given = json.loads(read or b"")
    except (ValueError, RecursionError):
        given = None
    # a cross-site form cannot send this content type without a preflight request
    if request.headers.get("content-type") != "application/json" or not isinstance(given, dict) or given.keys() != kinds.keys():
        return None, 400 if read is not None else 413
    if not all(isinstance(given[key], kind) for key, kind in kinds.items()):
        return None, 400
    return given, 200


async def body(request: Request, most: int = MAX_BODY_BYTES) -> bytes | None:
    """Return the request's body, or None where it is longer than `most` bytes."""
    read = b""
    try:
        async for chunk in request.stream():
            read += chunk
            if len(read) > most:
                return None
    except ClientDisconnect:
        return None
    return read


async def disconnected(receive: Receive) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
