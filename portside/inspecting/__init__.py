"""`portside inspect`: what is stored under a name, and what each generation of clients receives of it."""
