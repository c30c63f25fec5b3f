"""boto3 in a pool of threads with one connection each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from loadtest.peers.run import Job, job_from_arguments, run_blocking


def main() -> None:
    job = job_from_arguments()
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=job.endpoint,
        verify=job.cafile,
        config=Config(max_pool_connections=job.window),
    )

    def post(connection_id: str) -> bool:
        try:
            client.post_to_connection(ConnectionId=connection_id, Data=job.data)
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(job.window) as threads:

        def post_all(_job: Job, ids: list[str]) -> int:
            return sum(threads.map(post, ids))

        run_blocking(post_all, job)


if __name__ == "__main__":
    main()
