"""The paired benchmark: `python -m loadtest.bench` measures groupcast's fan-out against its peers.

Each row is a ratio of two measurements made in turn (A B, B A, A B …), so that a machine that speeds up or
slows down does so for both.
"""
