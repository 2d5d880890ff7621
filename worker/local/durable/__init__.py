"""The embedded AWS (ministack) with all that it has answered for on disk.

ministack holds its state in memory and writes it down only when it is stopped in order. This
program runs it, in its own environment and with the standard library alone, with these changes:

- Items of tables, the changes in their streams and messages of queues are rows of an SQLite file.
  All changes of a request are written in one transaction before its response is sent, so every
  answered request survives SIGKILL.
- Every other service's state (roles, keys, sessions, rules, buckets' settings) is a row of the same
  file, written before the answer to each request that changes it.
- An event of S3 is in its queue before the object is written, not some time later in a thread: no
  object stays that no event has told of.
- A request that waits for messages of a queue is answered when one comes, not up to 0.1 s later.
- Objects are files as before. A write that was cut off before its answer is undone at the start.
- A stream also tells of items whose time to live was over, as AWS's does.
- Memory does not grow with history: events are not held, of streams and executions only the
  newest. Items and records of objects are held as JSON text, a fourth of their size as values.

Parts of an upload that is not complete stay in memory: after a start there is no such upload, and
its client begins again.

The file is not synced to the disk at each answer: the end of the process loses nothing, the end of
the machine may lose the last seconds, never more (write-ahead log, ``synchronous=NORMAL``). If it
cannot be written, the process ends instead of answering, and starts again from what is on disk.

This package patches internals of the version in ``emulator-requirements.in``; tests in
``tests/integration/test_durable_emulator.py`` fail if another version has changed them.
"""
