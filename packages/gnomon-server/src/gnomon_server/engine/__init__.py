"""The engine: chDB (ClickHouse as a library) behind ClickHouse's HTTP interface, as a process of its own.

Start it with ``python -m gnomon_server.engine --data DIR --socket PATH``. It imports nothing else of gnomon_server and
nothing else imports it: the two sides meet only on the socket, in ClickHouse's own protocol
(https://clickhouse.com/docs/interfaces/http). The library's sharp edges (it starts threads and changes directory on
import, must not be forked, hangs when it crashes) stay in here.
"""
