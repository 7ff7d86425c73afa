"""Where the audit's reference values come from: other people's code. Never lossd's own.

Run from `tests/audit`, in an environment of its own with `references/requirements.txt`:

    python -m references               # writes every cases/<name>.json
    python -m references label_issues  # only this
"""
