"""Certificates, and the TLS contexts that are made of them."""
