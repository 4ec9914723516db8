"""What a fused picture is measured by: fusion metrics, flicker, targets kept, and simple references to compare with."""
