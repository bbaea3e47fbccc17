"""What replicas cost and bring: the extra hop, throughput by their number, and the death of one."""
