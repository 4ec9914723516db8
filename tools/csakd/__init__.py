"""CSAKD's teacher and student: networks, losses, training, export."""
