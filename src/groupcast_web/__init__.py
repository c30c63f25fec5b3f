"""The files of the JavaScript client (`client/`) and of the chat page (`page/`)."""
