"""What Messenger and Instagram have in common: how their webhooks read, how messages and comments go out."""
