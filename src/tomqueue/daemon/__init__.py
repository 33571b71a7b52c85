"""What runs beside the workers: the supervisor, its children, the heartbeat, the sweep."""
