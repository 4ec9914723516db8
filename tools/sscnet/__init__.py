"""SSCNet: network, training, pruning, export, rate and distortion."""
