"""View `entries`: finds the log's entries by any id that they name, and hands them out byte for byte."""
