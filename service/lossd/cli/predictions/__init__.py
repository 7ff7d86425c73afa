"""A classifier's outputs in files: read block by block, whatever their size.

pyarrow is the extra `arrow`; import this only where files are read.
"""

from lossd.cli.predictions.columns import Wanted as Wanted
from lossd.cli.predictions.reading import Predictions as Predictions
from lossd.cli.predictions.reading import Shard as Shard
