"""Where app functions run (port Fleet): worker processes on this machine.

queue pool          who is next, and where: decisions only
process log exits   one worker process: its messages, its log, why it ended
variables           what such a process finds in its environment
attempt call        one task on one worker, from claim to end; the call in the middle of it
patience            asking the platform again
local               the fleet itself
liveness            whether the process that has a task is still there
"""
