"""Workers that crash, stall and cross each other, over the real tables and functions.

`machine` draws what happens next; it happens in a `world` of a clock that can jump, an
API without a socket, a shop, and `worker`s that make one move at a time, which
`statements` can break off or interrupt at any statement of theirs. A `ledger` compares
the tables before and after, and the `actions`, which are the design's table of states
written a second time, say whether that may have come of what was going on.
"""
