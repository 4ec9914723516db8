"""Training side of EdgeFuse: networks, data, train, quantize, export, evaluate. PyTorch lives here and nowhere else."""
