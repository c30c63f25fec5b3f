"""groupcast: serverless group chat with a fast fan-out to very large groups that loses no message."""
