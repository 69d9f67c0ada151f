"""Where bytes rest: one small driver interface, its drivers, and the layout of both trees."""
