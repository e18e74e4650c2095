"""Tools of the fault tests: a proxy that breaks a link, a command that is killed.

They know nothing of Connectly.
"""
