"""moto's server with FIFO queues that behave as SQS documents: `python -m localcloud.backends.motoserver`."""
