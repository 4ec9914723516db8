"""Hyperspectral cubes: their files (`formats`), the codec and its container, archives of them."""
