"""Training data: photographs with masks, fusion pairs, hyperspectral scenes."""
