"""EdgeFuse inside other libraries: `.efz` files as xarray's datasets, xarray's arrays as cubes, the codec of Zarr's chunks."""
