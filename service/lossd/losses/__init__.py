"""The catalog: one file per loss, in its family's folder.

`classification/focal.py` holds `focal` and answers `/v1/losses/focal`.
"""

from lossd.losses._catalog import CATALOG as CATALOG
from lossd.losses._catalog import discover as discover
from lossd.losses._catalog import find as find
from lossd.losses._cost import Cost as Cost
from lossd.losses._cost import count_cost as count_cost
from lossd.losses._linear import CLASSIFIER as CLASSIFIER
from lossd.losses._linear import CLASSIFIER_BIAS as CLASSIFIER_BIAS
from lossd.losses._linear import HIDDEN as HIDDEN
from lossd.losses._linear import LOGITS as LOGITS
from lossd.losses._shared import Shared as Shared
from lossd.losses._spec import InputSpec as InputSpec
from lossd.losses._spec import LossParams as LossParams
from lossd.losses._spec import LossSpec as LossSpec
from lossd.losses._spec import inputs_of as inputs_of
from lossd.losses._topics import TOPICS as TOPICS
from lossd.losses._topics import topics_of as topics_of

discover(__name__, __path__)
