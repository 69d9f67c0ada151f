"""`portside v1 check`: looks whether a v1 volume is sound, beside running servers or without any.

Invariant: nothing is changed, not even a lock is taken. So whatever is found is looked at once more, a moment later:
only what stays as it was is told.
"""
