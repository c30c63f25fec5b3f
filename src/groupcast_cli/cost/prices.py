"""What AWS asks in us-east-1, in US dollars and without free tiers: the one table that goes out of date.

Amazon's pages show other regions and newer numbers: look there before you rely on these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

REGION = "us-east-1"
# When AWS's lists had all of these.
AS_OF = "2025-07"

MILLION = 1_000_000
BILLION = 1_000_000_000
TB_IN_GB = 1024
# The end of the last tier.
ALL = math.inf

_API_GATEWAY = "https://aws.amazon.com/api-gateway/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_SQS = "https://aws.amazon.com/sqs/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_XRAY = "https://aws.amazon.com/xray/pricing/"
_COGNITO = "https://aws.amazon.com/cognito/pricing/"
_KMS = "https://aws.amazon.com/kms/pricing/"
_TRANSFER = "https://aws.amazon.com/ec2/pricing/on-demand/"


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for `per` units; a tier holds up to so many units a month, and the last has no end."""

    unit: str
    per: int
    source: str
    tiers: tuple[tuple[float, float], ...]

    def of(self, units: float) -> float:
        """What so many units in one month come to."""
        total, start = 0.0, 0.0
        for end, dollars in self.tiers:
            total += max(0.0, min(units, end) - start) / self.per * dollars
            start = end
        return total


@dataclass(frozen=True, slots=True)
class Prices:
    """The table; a test or another region puts its own in."""

    messages: Price = Price("messages", MILLION, _API_GATEWAY, ((BILLION, 1.00), (ALL, 0.80)))
    connections: Price = Price("connection minutes", MILLION, _API_GATEWAY, ((ALL, 0.25),))
    transfer: Price = Price(
        "GB",
        1,
        _TRANSFER,
        ((10 * TB_IN_GB, 0.09), (50 * TB_IN_GB, 0.085), (150 * TB_IN_GB, 0.07), (ALL, 0.05)),
    )
    invocations: Price = Price("invocations", MILLION, _LAMBDA, ((ALL, 0.20),))
    duration: Price = Price(
        "GB-seconds",
        1,
        _LAMBDA,
        ((7.5 * BILLION, 0.0000133334), (18.75 * BILLION, 0.0000120001), (ALL, 0.0000106667)),
    )
    writes: Price = Price("write units", MILLION, _DYNAMODB, ((ALL, 0.625),))
    reads: Price = Price("read units", MILLION, _DYNAMODB, ((ALL, 0.125),))
    # Reading a stream is free where Lambda's own triggers do it.
    stream_reads: Price = Price("read units", MILLION, _DYNAMODB, ((ALL, 0.0),))
    storage: Price = Price("GB-months", 1, _DYNAMODB, ((ALL, 0.25),))
    backup: Price = Price("GB-months", 1, _DYNAMODB, ((ALL, 0.20),))
    queue: Price = Price("requests", MILLION, _SQS, ((ALL, 0.40),))
    fifo_queue: Price = Price("requests", MILLION, _SQS, ((ALL, 0.50),))
    logs: Price = Price(
        "GB",
        1,
        _CLOUDWATCH,
        ((10 * TB_IN_GB, 0.50), (30 * TB_IN_GB, 0.25), (50 * TB_IN_GB, 0.10), (ALL, 0.05)),
    )
    metrics: Price = Price("metrics", 1, _CLOUDWATCH, ((ALL, 0.30),))
    # Each metric that an alarm looks at counts.
    alarms: Price = Price("alarm metrics", 1, _CLOUDWATCH, ((ALL, 0.10),))
    dashboards: Price = Price("dashboard", 1, _CLOUDWATCH, ((ALL, 3.00),))
    users: Price = Price(
        "active users",
        1,
        _COGNITO,
        ((100_000, 0.0055), (MILLION, 0.0046), (10 * MILLION, 0.00325), (ALL, 0.0025)),
    )
    traces: Price = Price("traces", MILLION, _XRAY, ((ALL, 5.00),))
    keys: Price = Price("keys", 1, _KMS, ((ALL, 1.00),))
    key_requests: Price = Price("requests", 10_000, _KMS, ((ALL, 0.03),))
