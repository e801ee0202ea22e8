"""From a packet capture to the reason a Particle device cannot reach its cloud."""

__version__ = "0.1.0"
