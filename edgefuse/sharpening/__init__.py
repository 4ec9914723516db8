"""A low-resolution hyperspectral cube and a high-resolution multispectral image into a high-resolution cube. docs/sharpening.md"""
