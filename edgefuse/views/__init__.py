"""Views: what people look at, drawn from a fused pair (`--view`, docs/how-to/views.md). One module a view; `display` adds the overlay."""
