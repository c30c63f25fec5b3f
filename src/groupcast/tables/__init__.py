"""The three tables: DynamoDB inside, plain values outside."""
