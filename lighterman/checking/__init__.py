"""
Tries what a job will need before it runs: connections, directories, the grace period. It stands above
both jobs, as the command line does, and asks them what they would do.
"""
