"""Embedding models at a service: they turn texts into vectors, which are learnt from here."""
