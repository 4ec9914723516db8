"""The stream's destination: FFmpeg's options, and a form without secrets for logs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from edgefuse.settings.stream import StreamSettings
from edgefuse.util.secrets import note, note_urls
from edgefuse.util.uri import safe

_FORMATS = {
    "rtsp": ["-f", "rtsp", "-rtsp_transport", "tcp"],
    "rtmp": ["-f", "flv", "-flvflags", "no_duration_filesize"],
    "srt": ["-f", "mpegts"],
}


@dataclass(frozen=True, slots=True)
class Address:
    """Destination. url: as FFmpeg needs it. label: for logs and reports. secrets: parts of `url` to hide."""

    url: str
    label: str
    secrets: tuple[str, ...]
    options: tuple[str, ...]

    def hide(self, text: str) -> str:
        """Return `text` with the secrets replaced."""
        text = text.replace(self.url, self.label)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return safe(text)


def address(s: StreamSettings) -> Address:
    """Return the destination from the settings. User, password and key go into the URL, the only place where FFmpeg accepts them."""
    scheme, _, rest = s.url.partition("://")
    kind = scheme if scheme == "srt" else scheme[:4]
    secrets = [x for x in (s.password, s.key, quote(s.password, safe="")) if x]
    url = s.url
    if s.user:
        url = f"{scheme}://{quote(s.user, safe='')}:{quote(s.password, safe='')}@{rest.rpartition('@')[2]}"
    elif s.password and kind == "srt":
        url += f"{'&' if '?' in url else '?'}passphrase={quote(s.password, safe='')}"
    if s.key:
        url = f"{url.rstrip('/')}/{s.key}"
    label = safe(s.url)
    path = [p for p in urlsplit(url).path.split("/") if p]
    if kind == "rtmp" and len(path) > 1:
        # the last part of an RTMP path is usually the stream key
        secrets.append(path[-1])
        label = safe(url).replace(f"/{path[-1]}", "/***")
    # the last part of a path is only hidden in the stream's own messages, because it may be a common word
    note_urls(s.url)
    note(*(x for x in (s.password, s.key) if x))
    if (inline := urlsplit(s.url).password) is not None:
        secrets.append(inline)
    return Address(url, label, tuple(sorted(set(secrets), key=len, reverse=True)), tuple(_FORMATS[kind]))
