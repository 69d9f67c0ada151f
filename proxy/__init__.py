"""The proxy: decides which protocol a client speaks, hands its request over, and tells which way it went.

Invariant: a request's target and a registry's answer are never decoded, normalised or encoded anew.
"""
