"""Reviewing labels: queues of rows that are worth a look, and the changes made in them."""
