"""The app on Ray Serve: one app, and replicas of the engine where Ray puts them. Ray comes with the extra `scale`.

`serve run server.cluster:application` and serve.yaml start here.
"""

from server.cluster.deployments import application

__all__ = ["application"]
