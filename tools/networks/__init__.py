"""The networks that EdgeFuse trains, one module a family."""
