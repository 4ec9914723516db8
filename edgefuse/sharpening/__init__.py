"""A low-resolution hyperspectral cube and a high-resolution multispectral image into a high-resolution cube. docs/how-to/sharpening.md"""
