"""The target `http`: requests to running web pages, one with a token and one without."""

from __future__ import annotations

import logging
import random
from functools import cache
from pathlib import Path
from typing import Any

from edgefuse.errors import EdgeFuseError

_COMPLAINTS: list[logging.LogRecord] = []


@cache
def page_of(token: bool) -> Any:
    import edgefuse
    from edgefuse.web import connection_limits
    from tests.web.conftest import TOKEN, Served

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info or record.levelno >= logging.ERROR:
                _COMPLAINTS.append(record)

    for name in ("", "edgefuse"):
        logging.getLogger(name).addHandler(Ears())
    connection_limits.WRONG_S = connection_limits._LONGEST_S = 0.0  # no delay after a wrong token
    page = Served(token=TOKEN if token else None)
    with edgefuse.open_source("demo?size=96x80&frames=1&scene=day&depth=16") as source, edgefuse.load("blend-classic") as fuser:
        if pair := source.read():
            page.live.write(fuser.fuse(pair))

    def record(given: Any) -> dict[str, Any]:
        assert given in ({"on": True}, {"on": False}), given
        return {}

    page.live.register_command("record", record)
    page.live.register_command("snapshot", lambda given: {})
    return page


def http(rng: random.Random, folder: Path) -> None:
    """Send a request to a running web page, with or without a token."""
    from tests.web import hostile

    token = rng.random() < 0.3
    page = page_of(token)
    raw = next(hostile.requests(rng.getrandbits(32)))
    answer = hostile.attack(page.address, raw)
    code = hostile.status(answer)
    assert b"root:" not in answer, raw
    assert code != 500, raw
    assert code not in (200, 303) or not token, raw
    assert not _COMPLAINTS, (raw, _COMPLAINTS[-1].getMessage())
    if rng.random() < 0.01:
        from tests.web.conftest import TOKEN

        headers = {"Authorization": f"Bearer {TOKEN}"} if token else {}
        assert page.get("/state.json", **headers)[0] == 200
        assert page.get("/healthz", **headers)[0] in (200, 503)
    if code is None or code >= 400:
        raise EdgeFuseError("refused")


def close() -> None:
    """Close the pages that were opened."""
    for token in (False, True) if page_of.cache_info().currsize else ():
        page_of(token).close()
