"""Failing system calls and power cuts while archives are written, by a shim that the tests compile (shim.c)."""
