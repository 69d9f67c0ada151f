"""The proxy: decides which protocol a client speaks, passes its request on, and reports the route and the reason.

Invariant: a request's target and a registry's answer are never decoded, normalised or re-encoded.
"""
