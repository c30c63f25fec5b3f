"""The JavaScript client (`client/`) and the chat page (`page/`), as files to serve."""
