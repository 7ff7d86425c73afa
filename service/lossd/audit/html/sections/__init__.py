"""Parts of the page, a file each; a part whose metric was not asked for is None."""
