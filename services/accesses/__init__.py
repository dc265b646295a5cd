"""Who looked: reads of what is about persons, and of the log, are recorded, and an auditor can read the record.

An answer that shows an identity is sent once its record is durable. All other reads wait for nothing: their records
are written in batches, a tenth of a second later.
"""
