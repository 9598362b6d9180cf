# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Celery application of the end-to-end tests. Importing z4j_celery is all its users do."""

import os
import time

import z4j_celery  # noqa: F401  starts the agent inside `celery worker`
from celery import Celery

app = Celery("shop", broker=os.environ["E2E_REDIS_URL"], backend=os.environ["E2E_REDIS_URL"])
app.conf.update(
    task_default_queue="default",
    result_extended=True,
    worker_pool_restarts=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    task_routes={"shop.parked": {"queue": "parked"}},
)


@app.task(name="shop.add")
def add(x, y):
    return x + y


@app.task(name="shop.boom")
def boom(text="out of stock"):
    raise ValueError(text)


@app.task(name="shop.flop")
def flop(number):
    raise RuntimeError(f"flop {number}")


@app.task(name="shop.flaky", bind=True, max_retries=1)
def flaky(self, fail_times=1):
    if self.request.retries < fail_times:
        raise self.retry(countdown=1, exc=RuntimeError("not yet"))
    return "at last"


@app.task(name="shop.sleep")
def sleep(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
    return "awake"


@app.task(name="shop.parked")
def parked():
    return None
