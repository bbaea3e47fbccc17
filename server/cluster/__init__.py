"""The app on Ray Serve, with replicas of the engine. Ray comes with the extra `scale`.

`serve run server.cluster:application` and serve.yaml start here.
"""

from server.cluster.deployments import application

__all__ = ["application"]
