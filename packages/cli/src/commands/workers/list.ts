import type { WorkerInfo } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { relative } from '../../output/times.ts'

export function list(workers: Command): void {
  const command = workers
    .command('list')
    .alias('ls')
    .description('list workers: where they run, and whether they take jobs')
  action<object>(command, ({ terminal, global }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const found = await errand.workers.list()
      if (terminal.json) return terminal.value(found)
      if (found.length === 0)
        return terminal.note('no worker has used this log lately; start one with `errand work`')
      const now = Date.now()
      terminal.table(
        [
          { title: 'ID', value: (worker) => worker.id },
          { title: 'LABEL', value: (worker) => worker.label, flexible: true },
          { title: 'HOST', value: (worker) => `${worker.host}:${worker.pid}`, flexible: true },
          { title: 'QUEUES', value: (worker) => worker.queues.join(', '), flexible: true },
          { title: 'RUNNING', value: (worker) => worker.running, align: 'right' },
          { title: 'UP', value: (worker) => relative(worker.startedAt.getTime(), now), align: 'right' },
          { title: 'SEEN', value: (worker) => relative(worker.lastSeen.getTime(), now), align: 'right' },
          {
            title: 'STATE',
            value: describeState,
            paint: (text, worker) =>
              terminal.paint(!worker.alive ? 'bad' : worker.taking ? 'good' : 'warn', text),
            flexible: true,
          },
        ],
        found,
      )
    }),
  )
}

function describeState(worker: WorkerInfo): string {
  if (!worker.alive) return 'gone: its lease is out'
  if (worker.stopping) return 'stopping'
  return worker.taking ? 'taking' : `not taking: ${worker.why ?? 'it gives no reason'}`
}
