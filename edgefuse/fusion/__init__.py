"""Fusion of a visible and an infrared frame into one picture."""
