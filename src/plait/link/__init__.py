"""The plait itself: one conversation of an app and a thing, over the hub and directly, whichever is better.

`link.py` is an end of it, `channel.py` what programs send on, `files.py` files, `hub.py` and `direct.py` the
two strands.
"""

from plait.link.channel import Channel, Values
from plait.link.files import receive_file, send_file
from plait.link.link import Link
from plait.link.paths import Carrier
from plait.wire.path import Choice

__all__ = ["Carrier", "Channel", "Choice", "Link", "Values", "receive_file", "send_file"]
