"""What HTTP and server-sent events cost: the server beside the bare engine, each in a process of its own."""
