"""What tests and the functions made for them agree on; the functions themselves patch the fan-out."""

from __future__ import annotations

from pathlib import Path

# A sender dies after it has stored a message of this text.
SENDERS_LAST_WORDS = "these are my last words"
# A sender dies after it has taken a number for a message of this text.
SENDERS_LAST_THOUGHT = "this I will never say"
# In this group a worker dies in the middle of its first pass.
DOOMED = "doomed"
POSTS_BEFORE_DEATH = 5
# In the directory in which `groupcast up` was started.
WORKERS_LAST_WORDS = Path("last-words")
