"""The fan-out: from stream records to posts, one outcome for every connection of every message."""
