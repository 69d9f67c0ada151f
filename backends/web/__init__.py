"""HTTP for both registries: finding the handler, reading bodies, sending content, rendering errors in one place."""
