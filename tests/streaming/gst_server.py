"""GStreamer's RTSP server, which writes one published H.264 stream into FILE. Needs the system's Python with GStreamer's bindings.

/usr/bin/python3 gst_server.py PORT FILE
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server, factory = GstRtspServer.RTSPServer.new(), GstRtspServer.RTSPMediaFactory.new()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
sink = f"filesink sync=false async=false buffer-mode=unbuffered location={sys.argv[2]}"
factory.set_launch(f"( rtph264depay name=depay0 ! video/x-h264,stream-format=byte-stream ! {sink} )")
factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
factory.set_latency(100)
server.get_mount_points().add_factory("/edgefuse", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
