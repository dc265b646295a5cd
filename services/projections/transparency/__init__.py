"""The transparency log: the log's entries as a Merkle tree in C2SP tiles, its signed checkpoints, and proofs."""
