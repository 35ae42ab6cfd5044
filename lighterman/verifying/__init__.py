"""
Compares what is in a bucket with what it should be: by a manifest, or by a path. It stands above both jobs,
as the command line does.
"""
