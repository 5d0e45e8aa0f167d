"""Another machine over the user's own OpenSSH: commands, files, long steps, and a lock."""

from yolov12edge.remote.address import Address
from yolov12edge.remote.connection import Answer, Connection
from yolov12edge.remote.refusals import ConnectionBroken

__all__ = ["Address", "Answer", "Connection", "ConnectionBroken"]
