"""What states are made of: pieces that hold integers, and whose merging is commutative."""

from lossd.audit.pieces._piece import Arrays as Arrays
from lossd.audit.pieces._piece import Piece as Piece
from lossd.audit.pieces.counts import Counts as Counts
from lossd.audit.pieces.kept import Kept as Kept
from lossd.audit.pieces.keyed import Keyed as Keyed
from lossd.audit.pieces.sums import Sums as Sums
from lossd.audit.pieces.tallies import Tallies as Tallies
