"""HTTP mechanics that belong to no protocol: reading bodies, sending content, what a request says of itself.

The proxy and both registries use them, so that each rule of HTTP is kept in one place.
"""
