"""moto's server with FIFO queues as SQS documents them: `python -m localcloud.backends.motoserver`."""
