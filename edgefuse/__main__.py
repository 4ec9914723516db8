"""`python -m edgefuse` is `edgefuse`."""

from edgefuse.cli.main import entry

entry()
