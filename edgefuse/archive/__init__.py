"""Many cubes: one job in a child process, the runner of many, the watch over a folder, the manifest of what was done."""
