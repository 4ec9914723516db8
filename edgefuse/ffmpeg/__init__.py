"""FFmpeg as a child process that encodes fused frames: what recording and streaming stand on. It is a program (apt install ffmpeg), not a
library: a driver that dies under it costs a child, not the run."""
