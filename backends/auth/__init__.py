"""Who a caller is, and what it may do: credentials, schemes, rules; without HTTP's requests."""
