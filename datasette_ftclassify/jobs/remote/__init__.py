"""Asking a service about many texts: as fast as it lets us, each text once, no answer lost.

`network` has the requests in a thread of its own, `concurrency` says how many may be under way, and
`inference_loop` decides in the job's thread, which has the database. `predict` walks a table.
"""
