"""Where the page is served, and who may ask for it: HOST:PORT, the token, the names in a Host header."""

from __future__ import annotations

import ipaddress
import re
import socket

from edgefuse.errors import SettingsError
from edgefuse.settings.web import WebSettings

_TOKEN = re.compile(r"[\x21-\x7e]{16,256}\Z")
_MAKE_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe(24))' > web-token"
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?\Z")


def split(text: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT, [IPV6]:PORT or :PORT, which is 127.0.0.1's. Port 0 is any that is free. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    found = _HOST.match(host or "127.0.0.1")
    if not colon or found is None or found[2] or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise SettingsError(f"web address {text!r}: expected HOST:PORT or :PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080")
    return found[1].strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Can this machine alone reach it?"""
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def token(s: WebSettings) -> str | None:
    """The token asked for; None where none is needed. Raises SettingsError where one is needed and none given, or it is too easy."""
    if s.token is None:
        if not is_loopback(split(s.listen)[0]):
            raise SettingsError(
                f'a web page on {s.listen} is seen by others, so it needs a token: {_MAKE_TOKEN}, then token_file = "web-token" in [web]; '
                "or serve on 127.0.0.1"
            )
        return None
    if not _TOKEN.match(s.token):
        raise SettingsError(f"[web] token: expected 16 to 256 letters, digits or signs, without blanks; make one: {_MAKE_TOKEN}")
    return s.token


def names(s: WebSettings) -> frozenset[str]:
    """Names, in small letters, that a browser may ask for. A name that an attacker's name server lets point here is not among them."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", own.partition(".")[0] + ".local", *(h.lower() for h in s.hosts)})


def known(header: str, allowed: frozenset[str]) -> bool:
    """Is a Host header one of `allowed`, or a plain IP address, which no name server can turn? Any port: it may have been forwarded."""
    found = _HOST.match(header)
    if found is None:
        return False
    host = found[1].lower().removesuffix(".")
    return host in allowed or _is_ip(host.strip("[]"))
