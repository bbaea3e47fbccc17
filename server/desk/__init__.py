"""The writer's desk: offers of continuations, and the shelf for the texts."""

from server.desk.continuations import Piece
from server.desk.desk import Desk
from server.desk.offers import Offer, Offers, Settled
from server.desk.writers import Writers

__all__ = ["Desk", "Offer", "Offers", "Piece", "Settled", "Writers"]
