"""What it costs and how fast it is: ``python -m benchmarks --help``.

Each benchmark is a module with a command of its own (``python -m benchmarks.NAME``). It
has ``LINES``, the lines of its table; ``subject``, which prepares one checkout and
yields a function that measures a round; ``ROUNDS``, how many are enough; and ``SMALL``,
the options of a run that only shows that it works. With ``CHECK``, those of the short
form, its bounds are held by ``python -m benchmarks --check``.

`command` reads the options and prints, `rounds` asks each checkout (`subject`, in a
process of its own) for its rounds in turn, `line` is a line of a table, and `table`
prints it. `shop` is a database, a broker, workers and an `api`; `rows` are its orders.
"""
