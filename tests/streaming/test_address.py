"""Tests of the stream's destination and of hiding its secrets."""

from __future__ import annotations

import pytest

from edgefuse.errors import SettingsError
from edgefuse.settings.stream import StreamSettings
from edgefuse.streaming.address import address


@pytest.mark.parametrize(
    ("settings", "url", "label"),
    [
        ({"url": "rtsp://host:8554/cam"}, "rtsp://host:8554/cam", "rtsp://host:8554/cam"),
        ({"url": "rtsp://me:S3c%2Fret@host/cam"}, "rtsp://me:S3c%2Fret@host/cam", "rtsp://***@host/cam"),
        ({"url": "rtsps://host/cam", "user": "me", "password": "S3c/ret"}, "rtsps://me:S3c%2Fret@host/cam", "rtsps://host/cam"),
        ({"url": "rtmp://host/live", "key": "S3c-ret"}, "rtmp://host/live/S3c-ret", "rtmp://host/live/***"),
        ({"url": "rtmps://host/live/S3c-ret"}, "rtmps://host/live/S3c-ret", "rtmps://host/live/***"),
        ({"url": "rtmp://host/live"}, "rtmp://host/live", "rtmp://host/live"),
        ({"url": "srt://host:1?streamid=a", "password": "S3c ret long"}, "srt://host:1?streamid=a&passphrase=S3c%20ret%20long", "srt://host:1?***"),
    ],
)  # fmt: skip
def test_the_url_for_ffmpeg_and_the_label_without_secrets(settings: dict[str, str], url: str, label: str) -> None:
    to = address(StreamSettings(**settings))
    assert (to.url, to.label) == (url, label)
    said = f"{to.url}: Connection refused; [rtsp @ 0x5] S3c/ret S3c-ret S3c%2Fret S3c%20ret%20long failed"
    hidden = to.hide(said)
    assert hidden.startswith(label)
    for secret in to.secrets:
        assert secret not in hidden


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "http://host/x"}, "url must begin with rtsp://"),
        ({"url": "rtsp://"}, "url must begin with"),
        ({"url": "host:8554/x"}, "url must begin with"),
        ({"url": "rtsp://host/x", "key": "k"}, "key is only for RTMP"),
        ({"url": "srt://host:1", "user": "me"}, "user is only for RTSP and RTMP"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        StreamSettings(**settings)
