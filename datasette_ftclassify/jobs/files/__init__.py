"""Prediction from files into files: Parquet, CSV and JSON lines, on one machine or on many.

`plan` divides the files into parts and says in OUT what is to be done; a part is read, answered and
written by `part`, whoever runs it; `engines` lets local processes, Dask or Spark do so. The answer
of a part is one file that gets its name when it is whole: a part that is done again, or by two at
once, is the same file.
"""
