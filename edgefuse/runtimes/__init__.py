"""Runtimes for models, one module each; `choice` selects the one for a model."""

from edgefuse.runtimes.base import Runtime
from edgefuse.runtimes.choice import Choice, NoRuntime, choose, default_threads, present

__all__ = ["Choice", "NoRuntime", "Runtime", "choose", "default_threads", "present"]
