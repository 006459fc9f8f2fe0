import { parseArgs } from 'node:util'
import { subjectNamed, subjects } from './subjects/index.ts'
import { phaseNamed, phases } from './measure/phases.ts'
import type { Phase } from './measure/phases.ts'
import type { SubjectEntry } from './subjects/subject.ts'

export interface Options {
  readonly help: boolean
  readonly json: boolean
  readonly profile: boolean
  readonly n: number
  readonly rounds: number
  readonly processes: number
  readonly backlog: number
  readonly subjects: readonly SubjectEntry[]
  readonly phases: readonly Phase[]
  /** A commit or a folder: Errand's subjects are measured in turns with those of that build. */
  readonly against: string | undefined
}

export const usage = `pnpm bench [options]

  --n N             jobs of each measurement (20000)
  --rounds N        rounds; subjects alternate, and the medians count (1)
  --only NAME,NAME  these subjects; of: ${subjects.map(({ name }) => name).join(', ')}
  --phases A,B      only these figures; of: ${phases.map(({ name }) => name).join(', ')}
  --against COMMIT  Errand's subjects of that commit as well (or of a folder with its checkout), by turns with these
  --processes N     drain with a fleet of N worker processes as well
  --backlog N       drain with N finished jobs behind the queue as well (Errand only: the others keep no history)
  --profile         instead: for each subject of --only, the steps of one job, the CPU profile of enqueue1 and drain, and the calls per job
  --json            a line of JSON for each subject instead of the table

Servers: ERRAND_TEST_POSTGRES, ERRAND_TEST_AMQP, ERRAND_TEST_SQS, ERRAND_BENCH_REDIS (URLs, or none); by default those on
the usual loopback ports, and fauxqs for SQS. A subject whose server is missing is skipped, and named.
`

export function readOptions(given: readonly string[]): Options {
  const { values } = parseArgs({
    // pnpm passes the "--" on that separates its own options.
    args: given.filter((one) => one !== '--'),
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      json: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      n: { type: 'string', default: '20000' },
      rounds: { type: 'string', default: '1' },
      processes: { type: 'string', default: '1' },
      backlog: { type: 'string', default: '0' },
      only: { type: 'string' },
      phases: { type: 'string' },
      against: { type: 'string' },
    },
  })
  const { help, json, profile, only, against } = values
  if (profile && only === undefined) throw new Error('--profile needs --only NAME: say whose')
  return {
    help,
    json,
    profile,
    n: whole('--n', values.n, 1),
    rounds: whole('--rounds', values.rounds, 1),
    processes: whole('--processes', values.processes, 1),
    backlog: whole('--backlog', values.backlog, 0),
    against,
    phases:
      values.phases === undefined ? phases : values.phases.split(',').map((name) => phaseNamed(name.trim())),
    subjects: only === undefined ? subjects : only.split(',').map((name) => subjectNamed(name.trim())),
  }
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text.replaceAll('_', ''))
  if (Number.isInteger(value) && value >= least) return value
  throw new Error(`${name} is a whole number from ${least}, not ${text}`)
}
