"""What starts functions besides the gateway: the table's stream and the queues."""
