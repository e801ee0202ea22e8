"""Keys against stages: every applicable key is tried, every attempt is kept with its outcome and its proof."""
