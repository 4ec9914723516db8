"""[web]: the web page, /healthz, /report.json and /metrics (docs/how-to/web.md).

[web]
listen = "0.0.0.0:8080"
token_file = "/etc/edgefuse/web-token"
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_LISTEN = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Settings of the web page. Field names are the keys of the table [web]; `listen` is also `edgefuse run --web [HOST:PORT]`."""

    listen: str = field(
        default=DEFAULT_LISTEN,
        metadata={
            "help": "serve a page with the live picture on HOST:PORT, or :PORT; for other machines it needs a token or token_file in [web]",
            "option": "web",
            "const": DEFAULT_LISTEN,
            "metavar": "HOST:PORT",
        },
    )
    token: str | None = field(default=None, metadata={"help": "secret for access to the page, at least 16 characters", "secret": True})
    hosts: tuple[str, ...] = field(
        default=(), metadata={"help": "host names of the page besides this machine's own name and any IP address"}
    )
    clients: int = field(default=8, metadata={"help": "largest number of simultaneous viewers of the live picture", "min": 1, "max": 1000})
    fps: float = field(default=10.0, metadata={"help": "highest frame rate for a viewer", "min": 0.1, "max": 120.0})
    quality: int = field(default=80, metadata={"help": "JPEG quality of the live picture", "min": 10, "max": 100})
