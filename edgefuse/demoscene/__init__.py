"""Procedurally drawn street scene of the demo source. `scene.DemoScene` composes it."""
