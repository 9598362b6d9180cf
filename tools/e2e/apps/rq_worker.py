# SPDX-License-Identifier: AGPL-3.0-or-later
"""An RQ worker with the published agent, started the way its guide says."""

import os
import sys

from redis import Redis
from rq import Queue, SimpleWorker, Worker
from z4j_bare import install_agent
from z4j_rq import RqEngineAdapter

connection = Redis.from_url(os.environ["E2E_REDIS_URL"])
install_agent(
    engines=[RqEngineAdapter(rq_app=connection)],
    dev_mode=os.environ.get("E2E_DEV_MODE") == "1",
)
kind = SimpleWorker if os.environ.get("E2E_RQ_KIND") == "simple" else Worker
queues = [Queue(name, connection=connection) for name in sys.argv[2:]]
kind(queues, connection=connection, name=sys.argv[1]).work(with_scheduler=False)
