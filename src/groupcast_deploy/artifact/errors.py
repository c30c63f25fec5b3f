"""Errors of the build."""

from __future__ import annotations


class ArtifactError(Exception):
    """The artifact could not be built; the message is one line and names the remedy."""
