import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'

interface Options {
  readonly restored?: boolean | undefined
}

export function migrate(program: Command): void {
  const command = program
    .command('migrate')
    .description("make the job log's schema, or bring it up to date; safe from many places at once")
    .option('--restored', 'a backup was restored: older cursors are refused from now on')
  action<Options>(command, ({ terminal, global }, { restored }) =>
    withErrand(
      terminal,
      global,
      async ({ errand }) => {
        const report = await errand.migrate({ restored })
        if (terminal.json) return terminal.value({ ...report, restored: restored === true })
        if (report.from === report.to) terminal.print(`the schema is up to date (version ${report.to})`)
        else terminal.print(`the schema went from version ${report.from} to ${report.to}`)
        if (restored) terminal.print('older cursors are refused from now on')
      },
      { createLog: true },
    ),
  )
}
