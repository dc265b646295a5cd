"""Programs that `tests.bench` runs in processes of their own: contestants, HTTP peers, the HTTP client."""
