"""Data access: DynamoDB inside, plain values outside."""
