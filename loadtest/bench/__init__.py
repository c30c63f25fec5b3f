"""The paired benchmark: `python -m loadtest.bench` compares groupcast's fan-out with its peers.

Each row is a ratio of two measurements in alternating order (A B, B A, A B …), so that a machine that speeds
up or slows down affects both alike.
"""
