"""What every route shares: connections, keys and clients, limits, headers, and the forms of requests and responses."""
