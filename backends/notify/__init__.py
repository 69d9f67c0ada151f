"""Telling others what happens here: a durable log of events, and senders that post them to the configured endpoints.

An event is a JSON object as bytes; who makes it, and when, is not this room's business. `log` has the interface,
`file_log` and `memory_log` are the two logs, `senders` sends.

Invariant: an event whose `append` has returned is on disk, and is sent to every endpoint at least once, in the order of
the log, unless the log's bound on disk space drops it first.
"""
