"""Metrics of fused pictures and of cubes: fusion metrics, flicker, targets kept, spectral errors, and simple reference methods."""
