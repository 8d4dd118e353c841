"""The desks, as people and browsers use them."""
