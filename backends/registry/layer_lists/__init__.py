"""What layers hold and change, as clients of the v1 protocol can ask for it, and as docker-registry keeps it.

Invariant: a list that is kept is looked through before it is served; one that is damaged is made again.
"""
