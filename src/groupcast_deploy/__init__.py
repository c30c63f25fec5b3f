"""What brings groupcast to AWS and says what it costs there; never deployed itself."""
