"""groupcast: serverless group chat whose fan-out reaches very large groups fast and loses nothing."""
