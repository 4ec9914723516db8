"""[web]: the preview page, /healthz, /report.json and /metrics (docs/web.md).

[web]
listen = "0.0.0.0:8080"
token_file = "/etc/edgefuse/web-token"
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_LISTEN = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Settings of `edgefuse.web`. Field names are the keys of the table [web]; `listen` is `edgefuse run --web [HOST:PORT]`."""

    listen: str = field(
        default=DEFAULT_LISTEN,
        metadata={
            "help": "serve a page with the live picture on HOST:PORT, or :PORT; beyond 127.0.0.1 it needs a token or token_file in [web]",
            "option": "web",
            "const": DEFAULT_LISTEN,
            "metavar": "HOST:PORT",
        },
    )
    token: str | None = field(
        default=None, metadata={"help": "what a browser has to know to see the page: 16 characters or more", "secret": True}
    )
    hosts: tuple[str, ...] = field(
        default=(), metadata={"help": "names the page is asked for by, beside this machine's own name and any IP address"}
    )
    clients: int = field(default=8, metadata={"help": "most viewers of the live picture at once", "min": 1, "max": 1000})
    fps: float = field(default=10.0, metadata={"help": "most pictures a second that a viewer is sent", "min": 0.1, "max": 120.0})
    quality: int = field(default=80, metadata={"help": "JPEG quality of the live picture", "min": 10, "max": 100})
