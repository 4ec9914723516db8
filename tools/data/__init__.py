"""Photographs with segmentation masks, and the fusion pairs made from them."""
