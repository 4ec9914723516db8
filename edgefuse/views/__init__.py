"""Views: pictures for display, drawn from a fused pair (`--view`, docs/how-to/views.md). A module per view; `display` adds the overlay."""
