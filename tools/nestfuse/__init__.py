"""NestFuse, nestfuse-small and nestfuse-edge: networks, training, halving of channels, distillation, export."""
