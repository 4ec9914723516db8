"""Creation of calibrations: from points, from a target, or from the scene itself. `edgefuse.calibration.registration` applies them."""
