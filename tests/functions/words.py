"""Texts and paths shared by tests and their special functions."""

from __future__ import annotations

from pathlib import Path

# A sender dies after storing a message with this text.
SENDERS_LAST_WORDS = "these are my last words"
# A sender dies after taking a number for a message with this text.
SENDERS_LAST_THOUGHT = "this I will never say"
# In this group a worker dies in the middle of its first pass.
DOOMED = "doomed"
POSTS_BEFORE_DEATH = 5
# In the working directory of `groupcast up`.
WORKERS_LAST_WORDS = Path("last-words")
