"""One run from its settings to its end: the parts are built, frames go through the pipeline, settings are reloaded."""
