"""Where people work: one set of actions, and the surfaces that offer them."""
