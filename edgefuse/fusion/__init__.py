"""From a pair and a runtime to a fused frame."""
