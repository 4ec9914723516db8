"""Networks of MobileFuse and MobileFuse-edge: training, fitting of the map's constants, export."""
