"""Storage: one small driver interface, its drivers, locks, and the layout of both trees."""
