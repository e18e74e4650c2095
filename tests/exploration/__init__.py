"""A small world, explored to its end: ``python -m tests.exploration``.

Two workers, two orders, people who cancel, replay and withdraw, clocks that jump, a
pause, and crashes before every statement. A `world` is a state that can be written
back to the tables; its `moves` call the product's own functions; `search` visits every
state breadth first and remembers it; `rules` are what must hold in each state and in
each step.
"""
