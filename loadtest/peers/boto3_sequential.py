"""boto3 in a loop, as in AWS's sample applications."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from loadtest.peers.run import Job, job_from_arguments, run_blocking


def main() -> None:
    job = job_from_arguments()
    client = boto3.client("apigatewaymanagementapi", endpoint_url=job.endpoint, verify=job.cafile)

    def post_all(job: Job, ids: list[str]) -> int:
        accepted = 0
        for connection_id in ids:
            try:
                client.post_to_connection(ConnectionId=connection_id, Data=job.data)
            except ClientError:
                continue
            accepted += 1
        return accepted

    run_blocking(post_all, job)


if __name__ == "__main__":
    main()
