"""Composition: opens each function's clients and rules from its settings while its module loads."""
