import type { LogRoles } from '@errand/core'
import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'

interface Options {
  readonly dispatcher?: string | undefined
  readonly worker?: string | undefined
  readonly operator?: string | undefined
  readonly apply?: boolean | undefined
}

const defaults = {
  dispatcher: 'errand_dispatcher',
  worker: 'errand_worker',
  operator: 'errand_operator',
} as const satisfies LogRoles

export function roles(program: Command): void {
  const command = program
    .command('roles')
    .description(
      'print the SQL that gives roles of PostgreSQL the least rights on the job log, and no others',
    )
    .option('--dispatcher <role>', `who dispatches, and waits for results (default: ${defaults.dispatcher})`)
    .option('--worker <role>', `who runs jobs, and dispatches more (default: ${defaults.worker})`)
    .option('--operator <role>', `who looks at everything and acts on it (default: ${defaults.operator})`)
    .option('--apply', 'run it as well, as the owner of the job log; after each errand migrate')
  action<Options>(command, ({ terminal, global }, { dispatcher, worker, operator, apply = false }) =>
    withErrand(terminal, global, async ({ errand }) => {
      const named = dispatcher ?? worker ?? operator
      const given = named === undefined ? defaults : { dispatcher, worker, operator }
      const sql = await errand.grants(given, { apply })
      if (terminal.json) return terminal.value({ roles: given, applied: apply, sql })
      if (!apply) return terminal.print(sql.trimEnd())
      const names = [...new Set(Object.values(given).filter((name) => name !== undefined))]
      terminal.print(`the rights of ${names.join(', ')} are as they should be`)
    }),
  )
}
