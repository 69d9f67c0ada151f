"""`portside migrate`: makes of what the v1 protocol pushed what any v2 registry serves, beside what is there."""
