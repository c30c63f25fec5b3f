"""One thin module per function: reads the event, calls the rules, returns the reply."""
