"""Workers that crash, stall and interrupt each other, with real tables and functions.

`machine` draws the next event. It happens in a `world`: a clock that can jump, an API
without a socket, a shop, and `worker`s that make one move at a time. `statements` can
end or interrupt a move at any of its statements. A `ledger` compares the tables before
and after each move. The `actions` repeat the design's table of states and check whether
the move may have made that change.
"""
