"""FFmpeg as a child process that encodes fused frames, for recording and streaming.

It is used as a program (apt install ffmpeg), not as a library, so that a crashing driver ends a child process and not the run.
"""
