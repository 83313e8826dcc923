"""Asking a service about many texts: as fast as it lets us, each text once, no answer lost.

`engine` has the network in a thread of its own, `pace` says how much may be under way, and
`conversation` decides in the job's thread, which has the database. `predicting` walks a table.
"""
