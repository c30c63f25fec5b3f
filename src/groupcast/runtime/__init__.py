"""Composition: each function's clients and rules, opened from its settings while its module loads."""
