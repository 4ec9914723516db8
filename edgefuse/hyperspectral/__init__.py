"""Hyperspectral cubes: file formats (`formats`), compression codecs (`codec`) and the `.efz` container."""
