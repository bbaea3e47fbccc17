"""Pictures of plots: from a service, from a model on this machine, or drawn covers."""

from server.pictures.cover import cover
from server.pictures.picture import Fault, Picture, PictureError, Progress
from server.pictures.pictures import Pictures
from server.pictures.preview import preview

__all__ = ["Fault", "Picture", "PictureError", "Pictures", "Progress", "cover", "preview"]
