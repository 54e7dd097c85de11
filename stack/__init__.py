"""Starts, checks and stops the real servers on one machine.

    freshet stack up                        # kafka valkey milvus triton flink
    freshet stack up kafka flink            # some of them
    freshet stack up --with-service         # the servers, then writers and api
    freshet stack status [--json]
    freshet stack logs flink -n 50 --follow
    freshet stack down

From Python: `stack.lifecycle.up/down/status(settings)`, `stack.ports.free_ports(settings)` for a
stack beside another one, `stack.flink.client_environment(settings)` for `flink run`.

A part (Kafka, Flink) is one or more programs (JobManager, TaskManagers). Each program runs under a
keeper (`stack/keeper.py`), a tiny process that holds a kernel lock while it lives, records what
became of the program, starts a TaskManager again when it dies, and takes the program with it when
it goes. There is no daemon above the keepers and no lock that outlives a process.
"""
