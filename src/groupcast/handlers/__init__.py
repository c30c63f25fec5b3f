"""One thin module per function: event in, call, reply out."""
