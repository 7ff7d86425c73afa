"""lossd from Python: any loss's value, every row's loss, and gradients, as numpy arrays.

>>> from lossd_client import Client
>>> with Client() as client:  # LOSSD_URL, else http://127.0.0.1:8000
...     result = client.compute("cross_entropy", logits=logits, labels=labels)
>>> result.value, result.gradients["logits"]
"""

from lossd_client._arrays import ArrayLike as ArrayLike
from lossd_client._retry import Retry as Retry
from lossd_client.async_client import AsyncClient as AsyncClient
from lossd_client.batch import Batch as Batch
from lossd_client.batch import Call as Call
from lossd_client.client import Client as Client
from lossd_client.errors import ERRORS as ERRORS
from lossd_client.errors import BadOption as BadOption
from lossd_client.errors import BadParams as BadParams
from lossd_client.errors import BadRequest as BadRequest
from lossd_client.errors import Conflict as Conflict
from lossd_client.errors import ConnectionFailed as ConnectionFailed
from lossd_client.errors import DeadlineExceeded as DeadlineExceeded
from lossd_client.errors import InternalError as InternalError
from lossd_client.errors import LossdError as LossdError
from lossd_client.errors import MethodNotAllowed as MethodNotAllowed
from lossd_client.errors import MissingInput as MissingInput
from lossd_client.errors import NotAcceptable as NotAcceptable
from lossd_client.errors import NotFinite as NotFinite
from lossd_client.errors import NotReady as NotReady
from lossd_client.errors import OutOfMemory as OutOfMemory
from lossd_client.errors import OutOfRange as OutOfRange
from lossd_client.errors import Overloaded as Overloaded
from lossd_client.errors import SharedMemoryOff as SharedMemoryOff
from lossd_client.errors import TimedOut as TimedOut
from lossd_client.errors import TooLarge as TooLarge
from lossd_client.errors import UnexpectedInput as UnexpectedInput
from lossd_client.errors import UnknownLoss as UnknownLoss
from lossd_client.errors import UnknownRegion as UnknownRegion
from lossd_client.errors import UnknownRoute as UnknownRoute
from lossd_client.errors import UnreadableBody as UnreadableBody
from lossd_client.errors import Unsupported as Unsupported
from lossd_client.errors import UnsupportedMediaType as UnsupportedMediaType
from lossd_client.errors import WrongDtype as WrongDtype
from lossd_client.errors import WrongShape as WrongShape
from lossd_client.multitask import Balanced as Balanced
from lossd_client.multitask import Certificate as Certificate
from lossd_client.multitask import Comparison as Comparison
from lossd_client.multitask import TaskOptions as TaskOptions
from lossd_client.objective import Balance as Balance
from lossd_client.objective import ObjectiveResult as ObjectiveResult
from lossd_client.objective import Schedule as Schedule
from lossd_client.objective import Term as Term
from lossd_client.objective import TermResult as TermResult
from lossd_client.result import Result as Result
from lossd_client.transport import SocketTransport as SocketTransport

__version__ = "0.1.0"
