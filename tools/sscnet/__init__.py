"""SSCNet: network, training from random weights or from a linear transform, pruning, export, rate-distortion curves."""
