"""The description of the server's addresses: as an OpenAPI document for programs, as a page for people."""
