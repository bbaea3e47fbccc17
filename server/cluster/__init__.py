"""The app on Ray Serve: one app, and replicas of the engine wherever Ray puts them. The extra `scale` brings Ray.

`serve run server.cluster:application` and serve.yaml begin here.
"""

from server.cluster.deployments import application

__all__ = ["application"]
