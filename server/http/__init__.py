"""Connections, keys, clients, limits, headers and errors: the parts of HTTP shared by all routes."""
