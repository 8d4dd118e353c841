"""The only truth, in SQL: customers, conversations, interactions, decisions and deliveries."""
