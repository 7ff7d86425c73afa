"""Message to Call, Result to Message, and the pydantic models of the API."""

from lossd.schema._values import check_values as check_values
from lossd.schema.batch import Entry as Entry
from lossd.schema.batch import parse_batch as parse_batch
from lossd.schema.call import Call as Call
from lossd.schema.call import Result as Result
from lossd.schema.call import Warned as Warned
from lossd.schema.check import parse_call as parse_call
from lossd.schema.options import Options as Options
from lossd.schema.plan import Plan as Plan
from lossd.schema.reply import to_message as to_message
