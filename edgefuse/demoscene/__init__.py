"""The street of the demo source, drawn procedurally; `scene.DemoScene` puts the parts together."""
