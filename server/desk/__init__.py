"""The writer's desk: what is on offer to go on with, and whose shelf it is kept on."""

from server.desk.desk import Desk
from server.desk.offers import Offer, Offers, Piece, Settled
from server.desk.writers import Writers

__all__ = ["Desk", "Offer", "Offers", "Piece", "Settled", "Writers"]
