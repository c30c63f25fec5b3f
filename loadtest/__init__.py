"""The load test and the benchmarks.

Its packages from the bottom up. A module imports only its own package and those before it, and no circle
(tests/unit/test_imports.py reads this list):

- errors: the exceptions that end a run
- clock: units of time, and waiting for an instant
- plan: the scenario, when its messages are due, and its command-line options
- results: histograms, the ledger of deliveries, a run's result, conditions and verdict
- report: a result for people, as text, HTML, PNG and CSV
- generate: the virtual users of one worker process, from their sockets to its tally
- servers: servers that do nothing, to measure the harness and the engine by
- control: a run over all workers, its live table, and the local cloud started for it
- experiments: many runs, or simulated ones: calibrate, capacity, compare, simulate
- peers: other ways to post, which the benchmark measures
- bench: the paired benchmark
- cli: `python -m loadtest`
- locustfile: the same load for Locust, which runs it by itself
"""
