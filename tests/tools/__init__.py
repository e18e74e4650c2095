"""What the faults are made with: a proxy that breaks a link, a command that is killed.

Knows nothing of Connectly.
"""
