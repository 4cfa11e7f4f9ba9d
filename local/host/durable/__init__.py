"""Stand-in for the Durable extension of the Functions host as azure-functions-durable 1.7 sees it; never compared with the real one.

Written from the public sources of the extension and of the Durable Task Framework under it: the client binding, the endpoints
of `HttpApiHandler` under `rpcBaseUrl`, the replay of an orchestrator's actions against its history (`replay`), with the errors
that the framework raises. State is in one SQLite file (`storage`). Time can be moved and steps can be made to kill (`clock`,
`crash`, `control`). What behaves otherwise, or not at all:

- Entities, durable HTTP calls and sub-orchestrations: the instance fails, and says so. Suspend, resume, rewind, restart and
  the endpoints of entities: 501. Versions of orchestrations, task hubs and connections: read past, there is one of each.
- The webhooks on the app's own port: the real ones serve whoever knows the system key, and answer 401 to everybody else.
  These answer 401 to everybody. The RPC endpoints ask for no key, neither there nor here, and listen on loopback only.
- An activity that no function is: the instance fails here; there it waits for ever.
- Storage is one file of one process: no queues, partitions, leases, scaling out, large messages or delays of delivery. Of two
  starts with one id at once, exactly one is told 409; with Azure Storage the loser may be told 202, though its input is
  dropped. `hide_conflicts` does that to every such start. A list's page is full while there is more; there it may be short or
  empty, with a token for more.
- Starting over (`continue_as_new`) is stored before the next history begins; there both are one step.
- An activity whose result cannot be stored is kept and stored later; there it is run again.
- Functions are not retried when the host itself fails to run them, and `host.json` may set `extensions.durableTask.hubName`,
  `maxConcurrentActivityFunctions` and `maxConcurrentOrchestratorFunctions`; everything else of it keeps its default.
"""
