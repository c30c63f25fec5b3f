"""The command `groupcast`."""
