"""MobileFuse and MobileFuse-edge: networks, training, the closed-form map's constants, export."""
