"""Inputs that nobody thought of, found by how far they reach into the code: what comes
from a link, an answer, a file or a stranger is read or refused, and never more.
"""
