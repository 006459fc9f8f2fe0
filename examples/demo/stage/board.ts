import { lanes } from 'errand'
import type { Lane } from 'errand'
import type { Story } from './story.ts'
import { counted, fit, paint, seconds } from './style.ts'
import type { LaneCount, Tally } from './tally.ts'
import { present } from './fleet.ts'
import type { Member } from './fleet.ts'

export interface View {
  readonly title: string
  readonly tally: Tally
  readonly members: readonly Member[]
  readonly story: Story
  /** Jobs in all, as far as it is known. */
  readonly total: number
  /** Milliseconds since the start of the show, by `performance.now()`. */
  readonly elapsed: number
  readonly now: number
}

const laneColour = { critical: 'magentaBright', high: 'cyan', normal: 'green', low: 'blue' } as const
const memberColour = ['yellow', 'cyan', 'magenta'] as const
const storyLines = 8
const labelColumns = 10
const numberColumns = 20

/** The board as lines of at most `columns`; the same number of lines every time. */
export function board(view: View, columns: number): string[] {
  const width = Math.min(columns, 104) - 4
  const lines = [
    '',
    heading(view, width),
    '',
    ...lanes.map((lane) => laneRow(lane, view.tally.lanes[lane], widest(view), width)),
    '',
    ...view.members.map((member, index) => memberRow(member, index, view, width)),
    '',
    throughputRow(view, width),
    '',
    ...storyRows(view.story, width),
    '',
  ]
  return lines.map((line) => `  ${line}`)
}

function heading({ title, elapsed }: View, width: number): string {
  const clock = seconds(elapsed)
  return paint('bold', 'Errand') + fit(`  ${title}`, width - 6 - clock.length) + clock
}

function widest({ tally }: View): number {
  return Math.max(1, ...lanes.map((lane) => sum(tally.lanes[lane])))
}

function laneRow(lane: Lane, count: LaneCount, most: number, width: number): string {
  const total = sum(count)
  const numbers = fit(
    total === 0 ? '' : `${count.done}/${total}  ${count.running > 0 ? `${count.running} running` : ''}`,
    numberColumns,
  )
  const room = width - labelColumns - 2 - numberColumns
  // A lane with one job still shows it.
  const columns = total === 0 ? 0 : Math.max(1, Math.round((room * total) / most))
  const done = total === 0 ? 0 : Math.floor((columns * count.done) / total)
  const running = total === 0 ? 0 : Math.min(columns - done, Math.ceil((columns * count.running) / total))
  const bar =
    paint(laneColour[lane], '█'.repeat(done)) +
    paint([laneColour[lane], 'bold'], '▓'.repeat(running)) +
    paint('dim', '░'.repeat(columns - done - running)) +
    ' '.repeat(room - columns)
  return `${fit(lane, labelColumns)}${bar}  ${numbers}`
}

function memberRow(member: Member, index: number, { tally }: View, width: number): string {
  const { id, pid, source } = present(member)
  const jobs = member.lives.reduce((sum, life) => sum + (tally.doneBy.get(life.id ?? '') ?? 0), 0)
  const done = fit(counted(jobs, 'job'), 9)
  const name = `${fit(member.name, 9)} ${fit(`pid ${pid}`, 11)} ${fit(source, 11)}`
  const room = width - 2 - name.length - done.length
  const colour = memberColour[index % memberColour.length] ?? 'white'
  switch (member.state) {
    case 'starting':
      return paint('dim', `○ ${name}${fit('starting', room)}${done}`)
    case 'stopping':
      return paint('dim', `○ ${name}${fit('stopping', room)}${done}`)
    case 'stopped':
      return paint('dim', `○ ${name}${fit('stopped', room)}${done}`)
    case 'killed':
      return (
        paint('red', '✗ ') +
        paint(['red', 'bold'], name) +
        paint('red', fit(member.fate, room)) +
        paint('dim', done)
      )
    case 'working': {
      const runs = id ? tally.runningOn(id) : []
      const half = Math.floor(room / 2)
      const labels = runs
        .slice(0, 2)
        .map(({ label, run }) => fit(run > 1 ? `${label} (run ${run})` : label, half - 1))
      return paint(colour, '● ') + paint('bold', name) + fit(labels.join(' '), room) + paint('dim', done)
    }
    default:
      return member.state satisfies never
  }
}

const levels = '▁▂▃▄▅▆▇█'
const bucketMs = 500

function throughputRow({ tally, total, now, elapsed }: View, width: number): string {
  const rate = Math.round(tally.done < total ? tally.throughput(now, 2000) : (total * 1000) / elapsed)
  const numbers = fit(`${tally.done}/${total}  ${rate} jobs/s`, numberColumns)
  const room = width - labelColumns - 2 - numberColumns
  return `${fit('all', labelColumns)}${paint('yellow', sparkline(tally, now, elapsed, room))}  ${paint('bold', numbers)}`
}

/** Successes in each half second, the newest at the right. */
function sparkline(tally: Tally, now: number, elapsed: number, columns: number): string {
  const counts = Array.from({ length: columns }, () => 0)
  for (const at of tally.successes) {
    const column = columns - 1 - Math.floor((now - at) / bucketMs)
    if (column >= 0) counts[column] = (counts[column] ?? 0) + 1
  }
  const most = Math.max(1, ...counts)
  const past = Math.floor(elapsed / bucketMs)
  const marks = counts.map((count, column) => {
    if (columns - 1 - column > past) return ' '
    return levels[Math.round((count / most) * (levels.length - 1))] ?? ' '
  })
  // It grows from the left until it fills the row, and moves from then on.
  return fit(marks.join('').trimStart(), columns)
}

function storyRows(story: Story, width: number): string[] {
  const told = story.lines.slice(-storyLines).map(({ at, text, tone }) => {
    const line = fit(text, width - labelColumns)
    return (
      paint('dim', fit(seconds(at).padStart(7), labelColumns)) +
      (tone === undefined ? line : paint(tone, line))
    )
  })
  return [...told, ...Array.from({ length: storyLines - told.length }, () => '')]
}

function sum({ waiting, running, done }: LaneCount): number {
  return waiting + running + done
}
