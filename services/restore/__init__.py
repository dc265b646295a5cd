"""After a loss: a database older than what was published is refused at start, and brought up to it again.

What was recorded is in three places: the log, the stream (its sequence is the position, its payload the stored bytes)
and the tiles (entry bundles under a signed checkpoint). A log that lacks what the others hold gets exactly that back.
Two histories that differ are never mended.
"""
