"""Inference at a service: as fast as its rate limits allow, each text once, no answer lost.

`network` sends requests in a thread of its own, `concurrency` limits how many are under way, and
`inference_loop` schedules them in the job's thread, which has the database. `predict` reads a
table.
"""
