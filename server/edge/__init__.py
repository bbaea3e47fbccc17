"""Where connections end and requests begin: what a client may take of the server before the app has its request."""
