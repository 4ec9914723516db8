"""Training of EdgeFuse's networks: data, training, quantisation, export, evaluation. Only this folder uses PyTorch."""
