"""moto's server with FIFO queues that behave as SQS documents them: `python -m localcloud.motoserver`."""
