"""Reports the state of a run: the report, live state for other threads, vital signs, JSON lines, Prometheus."""
