"""Processing of many cubes: a job per cube, the runner that spreads jobs over processes, the folder watcher, and the manifest."""
