"""Rebuilding the records of a batch from the gradient they made.

``tables`` and ``words`` are attacks on what was seen of a round, the others functions of arrays.
"""
