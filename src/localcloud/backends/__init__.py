"""The servers behind the stack: DynamoDB Local and moto, each a child process."""
