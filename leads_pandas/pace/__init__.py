"""When a request is sent: one budget for every process of a machine user."""
