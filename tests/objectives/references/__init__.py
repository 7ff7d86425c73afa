"""Where the methods' reference values come from: TorchJD, cvxpy, mpmath. Never lossd's own.

Run from `tests/objectives`, in an environment of its own with `references/requirements.txt`:

    python -m references            # writes every cases/<method>.json
    python -m references mgda stch  # only these
"""
