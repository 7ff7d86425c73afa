"""Forms of a report for people and for pipelines. All are made of its JSON values alone."""
