"""What is found out about a layer's bytes, once: how they are compressed, what they hold, and a gzip of them."""
