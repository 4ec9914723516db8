"""The network of sharpen-edge's kernel: training through the kriging, export."""
