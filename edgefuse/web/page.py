"""Serves page.html, page.css and the scripts as one document, with a content security policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from html import escape
from importlib.resources import files

from starlette.responses import HTMLResponse, Response

from edgefuse import registry
from edgefuse.thermal import palettes

_SCRIPTS = ("page.js", "alarms.js", "recordings.js", "settings.js", "regions.js", "calibration.js")  # in this order, as one script


def _text(name: str) -> str:
    return files("edgefuse.web").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(style: str, script: str = "") -> str:
    """Return the policy that allows only this style and this script, by their hashes, and pictures and data from the same origin."""
    run = f"; script-src {_hash(script)}; connect-src 'self'; img-src 'self' blob: data:; media-src 'self'" if script else ""
    return f"default-src 'none'; style-src {_hash(style)}{run}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@lru_cache
def _made() -> tuple[str, str]:
    style, script = _text("page.css"), "".join(_text(name) for name in _SCRIPTS)
    options = "".join(f'<option value="{name}">{name}</option>' for name in palettes.NAMES)
    views = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in registry.names("edgefuse.views"))
    parts = {"@STYLE@": style, "@SCRIPT@": script, "@PALETTES@": options, "@VIEWS@": views}
    page = _text("page.html")
    for name, text in parts.items():
        page = page.replace(name, text)
    return page, _policy(style, script)


def index() -> Response:
    page, policy = _made()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


_LOGIN_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0; padding: 1rem; }
form { display: grid; gap: .8rem; width: min(22rem, 100%); }
h1 { font-size: 1.3rem; margin: 0; }
input, button { font: inherit; padding: .6rem .8rem; border-radius: .5rem; border: 1px solid #8888; }
button { background: #c2410c; color: #fff; border-color: transparent; cursor: pointer; }
[role=alert] { color: #d03020; margin: 0; }
"""


def login(wrong: bool = False) -> Response:
    """Return the login page for a browser without a token."""
    alert = f'<p role="alert">{escape("Wrong token.")}</p>' if wrong else ""
    html = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>EdgeFuse</title>
<style>{_LOGIN_STYLE}</style>
<form method="post" action="/login"><h1>EdgeFuse</h1>{alert}
<label for="token">Token, from <code>[web]</code> in the settings file</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Show the picture</button></form></html>
"""
    return HTMLResponse(html, 401, {"Content-Security-Policy": _policy(_LOGIN_STYLE)})
