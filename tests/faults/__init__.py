"""Faults, and what must come of them, with real processes: ``python -m tests faults``.

``shop`` starts and ends what a shop runs (`process`, `redis_server`, `web`), `customer`
buys there, `checkouts` are the ways in which shops complete an order, and `audit` says
whether anything was lost or sent twice. `settings` are those of the processes.
"""
