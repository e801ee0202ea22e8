"""Builds the synthetic golden cases: packets, files, keys and both ends of both protocols, from fixed seeds.

Nothing in here uses the dissectors: a decoder that is only tested by its own encoder agrees with its own mistakes. The
protocols are written a second time, straight from their sources, with plain integer arithmetic.
"""
