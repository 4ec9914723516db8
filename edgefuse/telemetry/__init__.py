"""What is known of a run and who is told: the report, live state for other threads, vital signs, JSON lines, Prometheus."""
