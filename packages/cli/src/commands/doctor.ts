import type { DoctorOptions, DoctorReport, Finding } from '@errand/core'
import { short } from '../application/load-module.ts'
import { withErrand } from '../application/open.ts'
import { action } from '../command.ts'
import type { Command } from '../command.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Style } from '../output/paint.ts'
import type { Terminal } from '../output/terminal.ts'
import { harmless } from '../output/text.ts'

const marks: Readonly<Record<Finding['severity'], readonly [mark: string, style: Style]>> = {
  error: ['✗', 'bad'],
  warning: ['!', 'warn'],
  info: ['·', 'faint'],
}

export function doctor(program: Command): void {
  const command = program
    .command('doctor')
    .description(
      'look at the job log, the broker and the workers, and say what is wrong; exit 1 when something is',
    )
    .option('--repair', 'publish ready jobs again whose tickets are gone from the broker')
  action<DoctorOptions>(command, ({ terminal, global }, { repair }) =>
    withErrand(terminal, global, async ({ errand, project }) => {
      const report = await errand.doctor({ repair })
      const healthy = !report.findings.some(({ severity }) => severity === 'error')
      if (terminal.json)
        terminal.value({ node: process.version, configFile: project.configFile, healthy, ...report })
      else print(terminal, report, project.configFile)
      return healthy ? exitCodes.ok : exitCodes.failure
    }),
  )
}

function print(
  terminal: Terminal,
  { log, driver, repairs, findings }: DoctorReport,
  configFile: string | undefined,
): void {
  const fact = (name: string, value: string): void =>
    terminal.print(`${terminal.paint('faint', name.padEnd(7))} ${value}`)
  fact('node', process.version)
  fact('config', configFile === undefined ? 'none' : short(configFile))
  fact('log', `${log.name}, id ${log.id}, schema ${log.schemaVersion}, epoch ${log.epoch}`)
  fact('driver', driver.name)
  terminal.print('')
  for (const { message } of repairs)
    terminal.print(
      `${terminal.paint('good', '✓')} ${harmless(message)} ${terminal.paint('faint', '(repaired)')}`,
    )
  for (const { severity, code, message } of findings) {
    const [mark, style] = marks[severity]
    terminal.print(
      `${terminal.paint(style, mark)} ${harmless(message)} ${terminal.paint('faint', `(${code})`)}`,
    )
  }
  if (findings.length === 0) terminal.print(`${terminal.paint('good', '✓')} nothing is wrong`)
}
