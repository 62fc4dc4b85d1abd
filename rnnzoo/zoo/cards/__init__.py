"""What a zoo's repository says of it: the card that people read, its pictures, and its description for machines."""

from rnnzoo.zoo.cards.card import CARD, render_card, repository_texts, write_card

__all__ = ["CARD", "render_card", "repository_texts", "write_card"]
