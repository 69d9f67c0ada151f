"""htpasswd files that are written: by `portside htpasswd`, and once at a start without one."""
