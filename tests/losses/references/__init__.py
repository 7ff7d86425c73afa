"""Where the reference values come from: other people's code, and mpmath. Never lossd's own.

Run from `tests/losses`, in an environment of its own with `references/requirements.txt`:

    python -m references            # writes every cases/<loss>.json
    python -m references focal mse  # only these
"""
