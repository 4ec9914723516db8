"""Where a stream goes: what FFmpeg is given, and what may be shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from edgefuse.settings.stream import StreamSettings
from edgefuse.util.uri import safe

_FORMATS = {
    "rtsp": ["-f", "rtsp", "-rtsp_transport", "tcp"],
    "rtmp": ["-f", "flv", "-flvflags", "no_duration_filesize"],
    "srt": ["-f", "mpegts"],
}


@dataclass(frozen=True, slots=True)
class Address:
    """url: all that FFmpeg needs. label: for logs and reports. secrets: what is in `url` and nowhere else."""

    url: str
    label: str
    secrets: tuple[str, ...]
    options: tuple[str, ...]

    def hide(self, words: str) -> str:
        """`words` without the secrets."""
        words = words.replace(self.url, self.label)
        for secret in self.secrets:
            words = words.replace(secret, "***")
        return safe(words)


def address(s: StreamSettings) -> Address:
    """The settings' server. User, password and key are put into the URL, as FFmpeg takes them nowhere else."""
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
        # the last part of an RTMP path is a key as a rule
        secrets.append(path[-1])
        label = safe(url).replace(f"/{path[-1]}", "/***")
    if (inline := urlsplit(s.url).password) is not None:
        secrets.append(inline)
    return Address(url, label, tuple(sorted(set(secrets), key=len, reverse=True)), tuple(_FORMATS[kind]))
