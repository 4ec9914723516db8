"""Fuzz tests: malformed input from seeds, in large numbers (docs/research/fuzzing.md). Run as `python -m benchmarks.fuzz`."""
