import { parseArgs } from 'node:util'
import { placeKinds } from '../fleet/place.ts'
import { canHappen, soakFaults } from './faults.ts'
import type { SoakFault } from './faults.ts'

export interface SoakOptions {
  readonly mode: 'soak'
  readonly place: string
  readonly minutes: number
  /** Jobs that are dispatched in a second. */
  readonly rate: number
  readonly seed: number
  /** Faults to choose from; default all that can happen there. */
  readonly only: readonly SoakFault[]
  readonly json: boolean
}

export interface BacklogOptions {
  readonly mode: 'backlog'
  readonly jobs: number
  readonly json: boolean
}

export type Options = { readonly mode: 'help' } | SoakOptions | BacklogOptions

const placeNames = placeKinds.map(({ name }) => name)
const longestMinutes = 1_440
const highestRate = 200
const fewestJobs = 2_000

export const usage = `pnpm soak --minutes N --driver NAME [options]      faults on a running fleet, chosen at random
pnpm soak --jobs N --driver postgres [--json]      a deep queue: all jobs are dispatched, then all are run

  --minutes N       how long it dispatches and makes faults; parts of a minute are allowed
  --driver NAME     ${placeNames.join(', ')}
  --seed N          the same sequence of faults again (default: a new one, which the summary tells)
  --rate N          jobs dispatched in a second (20)
  --only NAME,NAME  these faults, of: ${soakFaults.join(', ')}
  --jobs N          claim time at the end against that at the start: at most 1.3 times (1000000)
  --json            the summary as JSON

Every server is its own, private one, and is gone at the end. Exit code 0: no violation, and every recovery in time.
`

/** @param newSeed for a run that names none. @throws an Error that says which option is wrong, and what it may be. */
export function readOptions(given: readonly string[], newSeed: () => number): Options {
  const { values } = parseArgs({
    // pnpm passes the "--" on that separates its own options.
    args: given.filter((one) => one !== '--'),
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      json: { type: 'boolean', default: false },
      minutes: { type: 'string' },
      jobs: { type: 'string' },
      driver: { type: 'string' },
      seed: { type: 'string' },
      rate: { type: 'string' },
      only: { type: 'string' },
    },
  })
  const { help, json, minutes, jobs, driver, seed, rate, only } = values
  if (help) return { mode: 'help' }
  if (minutes !== undefined && jobs !== undefined)
    throw new Error('--minutes and --jobs are two different runs: give one of them')
  if (driver === undefined) throw new Error(`--driver is missing; there are ${placeNames.join(', ')}`)
  const place = placeNamed(driver)

  if (jobs !== undefined) {
    if (place !== 'postgres')
      throw new Error(`--jobs measures PostgreSQL's claims: give --driver postgres, not ${place}`)
    const other = Object.entries({ seed, rate, only }).find(([, value]) => value !== undefined)
    if (other) throw new Error(`--${other[0]} belongs to --minutes: with --jobs there are no faults`)
    return { mode: 'backlog', jobs: whole('--jobs', jobs, fewestJobs), json }
  }
  if (minutes === undefined) throw new Error('--minutes N is missing (or --jobs N, for a deep queue)')
  return {
    mode: 'soak',
    place,
    minutes: positive('--minutes', minutes, longestMinutes),
    rate: rate === undefined ? 20 : positive('--rate', rate, highestRate),
    seed: seed === undefined ? newSeed() : whole('--seed', seed, 0),
    only: faultsAt(place, only),
    json,
  }
}

function placeNamed(name: string): string {
  const found = placeNames.find((place) => place === name)
  if (found) return found
  throw new Error(`there is no driver "${name}"; there are ${placeNames.join(', ')}`)
}

function faultsAt(place: string, only: string | undefined): readonly SoakFault[] {
  const possible = soakFaults.filter((fault) => canHappen(fault, place))
  if (only === undefined) return possible
  return only.split(',').map((given) => {
    const name = given.trim()
    const found = possible.find((fault) => fault === name)
    if (found) return found
    const known = soakFaults.some((fault) => fault === name)
    throw new Error(
      `${known ? `"${name}" cannot happen on ${place}` : `there is no fault "${name}"`}; on ${place} there are ${possible.join(', ')}`,
    )
  })
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text.replaceAll('_', '') || Number.NaN)
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new Error(`${name} is a whole number from ${least}, not "${text}"`)
}

function positive(name: string, text: string, most: number): number {
  const value = Number(text || Number.NaN)
  if (value > 0 && value <= most) return value
  throw new Error(`${name} is a number above 0, and at most ${most}, not "${text}"`)
}
