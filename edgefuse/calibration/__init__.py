"""Making calibrations, once: from points, from a target, or from the scene itself. Using one is `edgefuse.calibration.registration`."""
