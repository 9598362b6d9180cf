# SPDX-License-Identifier: AGPL-3.0-or-later
"""z4j, the control plane for Python background jobs.

The brain is a program, not a library: run ``z4j`` or ``python -m z4j``. What an application imports are the agents
(``z4j_celery``, ``z4j_rq``, ...), which are packages of their own.
"""
