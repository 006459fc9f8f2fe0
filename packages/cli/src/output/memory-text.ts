import type { JobMemory, MessageDetails, StepDetails, WaitDetails } from '@errand/core'
import type { Terminal } from './terminal.ts'
import { moment, relative, spanText } from './times.ts'

/** What a job remembers, what it waits for, and messages that it has not received. Nothing where there is none of it. */
export function printMemory(terminal: Terminal, { steps, waits, messages }: JobMemory): void {
  const faint = (text: string): string => terminal.paint('faint', text)
  if (steps.length > 0) {
    terminal.print('')
    terminal.table<StepDetails>(
      [
        { title: 'STEP', value: ({ name }) => name },
        { title: 'KIND', value: ({ kind }) => kind },
        { title: 'RUN', value: ({ run }) => run, align: 'right' },
        { title: 'TIME', value: ({ at }) => moment(at.getTime()) },
        {
          title: 'TOOK',
          value: ({ durationMs }) => (durationMs === undefined ? undefined : spanText(durationMs)),
          align: 'right',
        },
        { title: 'SIZE', value: ({ size }) => size, align: 'right' },
        { title: '', value: stepText, paint: faint, flexible: true },
      ],
      steps,
    )
  }
  if (waits.length > 0) {
    terminal.print('')
    terminal.table<WaitDetails>(
      [
        { title: 'WAITS', value: ({ name }) => name },
        { title: 'FOR', value: ({ kind, on }) => (on === undefined ? kind : `${kind} ${on}`) },
        { title: 'UNTIL', value: ({ until }) => (until ? moment(until.getTime()) : undefined) },
        { title: '', value: untilText, paint: faint },
      ],
      waits,
    )
  }
  if (messages.length === 0) return
  terminal.print('')
  terminal.table<MessageDetails>(
    [
      { title: 'UNREAD', value: ({ name }) => name },
      { title: 'ID', value: ({ id }) => id },
      { title: 'TIME', value: ({ at }) => moment(at.getTime()) },
      { title: 'BY', value: ({ by }) => by },
      { title: '', value: ({ payload }) => JSON.stringify(payload), paint: faint, flexible: true },
    ],
    messages,
  )
}

function stepText({ on, by, result, error }: StepDetails): string {
  const how = [on, by].filter((word) => word !== undefined && word !== 'message').join(' ')
  const what = error ? error.message : result === undefined ? '' : JSON.stringify(result)
  return [how, what].filter((text) => text !== '').join('  ')
}

function untilText({ until }: WaitDetails): string {
  return until ? relative(until.getTime(), Date.now()) : 'without an end'
}
