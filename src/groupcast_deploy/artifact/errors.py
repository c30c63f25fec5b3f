"""What can go wrong while the artifact is built."""

from __future__ import annotations


class ArtifactError(Exception):
    """The artifact could not be built; the message is one line that says what to do."""
