"""NestFuse, its small and its edge form: networks, training, halving, distillation, export."""
