# SPDX-License-Identifier: AGPL-3.0-or-later
"""Puts work into Redis for the harness: one JSON request a line on stdin, one JSON answer a line
on stdout. It runs without an agent, so that all the brain learns comes from the workers."""

import json
import os
import sys

engine = sys.argv[1]

if engine == "celery":
    import celery_app
    from celery import chain, signature

    def one(request):
        options = request.get("options") or {}
        return signature(
            request["task"], args=request.get("args") or [], kwargs=request.get("kwargs") or {},
            app=celery_app.app, **options,
        )

    def handle(request):
        op = request["op"]
        if op == "send":
            return {"ids": [one(request).apply_async().id]}
        if op == "send_many":
            return {"ids": [
                one({"task": request["task"], "args": [i, 1], "options": request.get("options")}).apply_async().id
                for i in range(request["count"])
            ]}
        if op == "chain":
            result = chain(*[one(step) for step in request["steps"]]).apply_async()
            ids = []
            while result is not None:
                ids.append(result.id)
                result = result.parent
            return {"ids": ids[::-1]}
        if op == "revoke":
            celery_app.app.control.revoke(request["id"], terminate=request.get("terminate", False))
            return {}
        if op == "depth":
            with celery_app.app.connection_for_read() as broker:
                return {"value": broker.default_channel.client.llen(request["queue"])}
        if op == "result":
            result = celery_app.app.AsyncResult(request["id"])
            return {"value": {"state": result.state, "result": str(result.result), "args": result.args}}
        if op == "inspect":
            inspect = celery_app.app.control.inspect(timeout=2)
            return {"value": getattr(inspect, request["what"])(*request.get("items") or [])}
        raise ValueError(f"unknown op {op}")

else:
    from redis import Redis
    from rq import Queue, Retry
    from rq.job import Job

    connection = Redis.from_url(os.environ["E2E_REDIS_URL"])

    def handle(request):
        op = request["op"]
        if op == "send":
            options = dict(request.get("options") or {})
            queue = Queue(options.pop("queue", "default"), connection=connection)
            if "retry" in options:
                options["retry"] = Retry(max=options.pop("retry"))
            job = queue.enqueue(request["task"], args=request.get("args") or [], **options)
            return {"ids": [job.id]}
        if op == "send_many":
            queue = Queue("default", connection=connection)
            jobs = queue.enqueue_many([
                Queue.prepare_data(request["task"], args=(i, 1)) for i in range(request["count"])
            ])
            return {"ids": [job.id for job in jobs]}
        if op == "depth":
            return {"value": len(Queue(request["queue"], connection=connection))}
        if op == "ended":
            return {"value": Job.fetch(request["id"], connection=connection).ended_at}
        if op == "failed":
            return {"value": Queue(request.get("queue", "default"), connection=connection).failed_job_registry.get_job_ids()}
        if op == "status":
            return {"value": Job.fetch(request["id"], connection=connection).get_status(refresh=True)}
        raise ValueError(f"unknown op {op}")


for line in sys.stdin:
    try:
        answer = handle(json.loads(line))
    except Exception as error:  # the harness shows it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
