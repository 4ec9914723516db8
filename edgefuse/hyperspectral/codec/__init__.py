"""Codecs of hyperspectral cubes: `spectral-edge` (KLT, wavelet, context coder; lossy or near-lossless) and `sscnet`."""
