"""Event sources besides the gateway: table streams and queues."""
