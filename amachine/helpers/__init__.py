"""What flows are made of beside states: requests made again, conditions, loops, debounced and batched inputs, pools.

Each is built on what machines show of themselves; none of them is needed to use one.
"""

from amachine.helpers.batching import Batch, batch
from amachine.helpers.conditions import Cond, Condition
from amachine.helpers.debouncing import Debounce, debounce
from amachine.helpers.health import Unhealthy, healthcheck
from amachine.helpers.looping import Rounds, Runaway, rounds
from amachine.helpers.pools import Job, Pool, pool
from amachine.helpers.shapes import implements, tag_value
from amachine.helpers.together import (
    WaitFailed,
    WaitTimeout,
    wait_for_all,
    wait_for_any,
    wait_for_group,
    why_pending,
)
from amachine.requests import Requests
from amachine.retrying import GaveUp, Granted, RequestTimeout, Retry

__all__ = [
    "Batch",
    "Cond",
    "Condition",
    "Debounce",
    "GaveUp",
    "Granted",
    "Job",
    "Pool",
    "RequestTimeout",
    "Requests",
    "Retry",
    "Rounds",
    "Runaway",
    "Unhealthy",
    "WaitFailed",
    "WaitTimeout",
    "batch",
    "debounce",
    "healthcheck",
    "implements",
    "pool",
    "rounds",
    "tag_value",
    "wait_for_all",
    "wait_for_any",
    "wait_for_group",
    "why_pending",
]
