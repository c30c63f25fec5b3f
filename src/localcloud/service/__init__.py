"""Reads serverless.yml: the functions, routes, tables, queues and user pool of the service."""
