"""HTTP mechanics that belong to no protocol: reading bodies, sending content, what a request says of itself.

The proxy and both registries use them, so that each rule of HTTP is kept in one place.

Invariant: nothing here knows of a registry, of storage or of the proxy. A body is asked for only when the request is
acceptable, and a connection on which a body is still to come does not serve another request.
"""
