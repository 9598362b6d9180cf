# SPDX-License-Identifier: AGPL-3.0-or-later
"""Jobs that the RQ worker of the end-to-end tests runs."""

import time


def add(x, y):
    return x + y


def boom():
    raise ValueError("out of stock")


def sleep(seconds):
    time.sleep(seconds)
    return "awake"
