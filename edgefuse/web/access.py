"""Access control for every request: Host and Origin against other pages in the same browser, then the token.

A browser gets a cookie that is derived from the token but does not reveal it. A program sends `Authorization: Bearer TOKEN`, or
`?token=TOKEN` where it cannot set headers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgefuse.web import address, connection_limits
from edgefuse.web.acceptor import Credentials
from edgefuse.web.connection_limits import ConnectionLimits

_REFUSED = frozenset((401, 403, 421))
_COOKIE_S = 30 * 86400
_LONGEST = 2048  # longest path with query, in bytes
_HEADER_BYTES, _HEADER_COUNT = 16384, 100
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, a form's Origin would be null
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SAFE.items()]
_NO_CONTENT = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class AccessControl:
    """ASGI middleware that checks each request before it reaches the application."""

    def __init__(
        self, app: ASGIApp, names: frozenset[str], token: str | None, port: int, login: Response, limits: ConnectionLimits
    ) -> None:
        """names: allowed Host names (`address.host_names`). token: None disables the check. login: response for a browser without a
        token. limits: of the server's connections; they delay the answers to refused requests."""
        self._app, self._names, self._login, self._limits = app, names, login, limits
        self._token = token.encode() if token else None
        self._cookie = f"edgefuse-{port}"
        self._pass = hmac.new(self._token, b"edgefuse web cookie", hashlib.sha256).hexdigest() if self._token else ""
        self.credentials = Credentials(self._token, (self._cookie, self._pass)) if self._token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: list[tuple[bytes, bytes]] = message.setdefault("headers", [])
                own = {name for name, _ in headers}
                headers.extend(h for h in (*_HEADERS, _NO_CONTENT) if h[0] not in own)
                if message["status"] in _REFUSED and self._limits.delays(scope["client"][0] if scope["client"] else ""):
                    headers.append((b"connection", b"close"))  # the next attempt then waits in the acceptor, where it costs little
            await send(message)

        headers = Headers(scope=scope)
        answer = self._refuse(scope, headers)
        if answer is None:
            answer = await self._authenticate(scope, headers)
        elif scope["type"] == "http":
            await self._limits.refuse(scope["client"])
        await (answer or self._app)(scope, receive, guarded)

    def _refuse(self, scope: MutableMapping[str, Any], headers: Headers) -> Response | None:
        """Return an error response for a malformed or cross-site request, else None."""
        if len(headers.raw) > _HEADER_COUNT or sum(len(name) + len(value) for name, value in headers.raw) > _HEADER_BYTES:
            return _text_response(431, "too many headers")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not address.is_allowed(hosts[0], self._names):
            return _text_response(421, "unknown host name; use the IP address, or add the name to hosts in [web]")
        if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > _LONGEST:
            return _text_response(414, "the address is too long")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.partition("://")[2] != hosts[0]:
            return _text_response(403, "request from another site refused")
        if site in ("cross-site", "same-site") and not (headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"):
            return _text_response(403, "request from another site refused")
        return None

    async def _authenticate(self, scope: Scope, headers: Headers) -> Response | None:
        """Return a response for a request without a valid token, else None."""
        if self._token is None or scope["path"] == "/login":
            return None
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if hmac.compare_digest(cookie.encode("utf-8", "replace"), self._pass.encode()):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        offered = given.strip() if kind.lower() == "bearer" else (_query(scope).get("token") or [""])[0]
        if offered:
            if not await self.is_token(offered, scope["client"]):
                return _text_response(401, "wrong token", {"WWW-Authenticate": "Bearer"})
            return self.login_redirect() if scope["path"] == "/" and kind.lower() != "bearer" else None
        await self._limits.refuse(scope["client"])
        if scope["path"] == "/":
            return self._login
        return _text_response(401, "a token is needed: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    async def is_token(self, offered: str, client: tuple[str, int] | None) -> bool:
        """Whether this is the token; a wrong one is answered after WRONG_S or more, which slows down guessing. client: who offers it."""
        if self._token is not None and hmac.compare_digest(offered.encode("utf-8", "replace"), self._token):
            return True
        await self._limits.refuse(client, connection_limits.WRONG_S)
        return False

    def login_redirect(self) -> Response:
        """Redirect to the page with the cookie set and the token removed from the URL."""
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._pass, max_age=_COOKIE_S, httponly=True, samesite="lax", path="/")
        return answer


def _query(scope: Scope) -> dict[str, list[str]]:
    try:
        return parse_qs(scope["query_string"].decode("ascii", "replace"), max_num_fields=16)
    except ValueError:
        return {}


def _text_response(code: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", code, headers)
