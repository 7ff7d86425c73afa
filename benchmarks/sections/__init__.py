"""The sections of `bench_servers`: each is a function of a `Run` that yields lines."""
