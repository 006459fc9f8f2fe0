import { ErrandError } from '../../errors.ts'
import type { StoredStep } from '../../job/memory.ts'
import type { Clock } from '../../ports/clock.ts'
import type { JobLog } from '../../ports/job-log.ts'
import type { Frame } from './frame.ts'
import { insist } from './insist.ts'
import { Releases } from './releases.ts'

export interface RecollectionParts {
  readonly id: string
  readonly run: number
  /** The version of the handler's memory. */
  readonly memoryVersion: number
  readonly frame: Frame
  readonly log: Pick<JobLog, 'memory'>
  readonly clock: Clock
}

/** What earlier runs of the job have left. The first run has nothing to remember, and nothing is asked for. */
export class Recollection {
  readonly #parts: RecollectionParts
  readonly #releases = new Releases()
  #reading: Promise<ReadonlyMap<string, StoredStep>> | undefined
  #count = 0

  constructor(parts: RecollectionParts) {
    this.#parts = parts
  }

  /** How many steps and waits the job remembers. */
  get count(): number {
    return this.#count
  }

  /** A step of this run was kept. */
  add(): void {
    this.#count += 1
  }

  /** @throws `E_STEP_NAME` if the name is that of something else. Does not settle if another worker is to run the job. */
  async find(name: string, kind: StoredStep['kind']): Promise<StoredStep | undefined> {
    if (this.#parts.run === 1) return undefined
    const steps = await this.#read()
    const newer = newest(steps, this.#parts.memoryVersion)
    if (newer) {
      this.#parts.frame.park(newer)
      return new Promise(() => undefined)
    }
    const stored = steps.get(name)
    if (stored) checkKind(stored, kind)
    return stored
  }

  /** As another run, or a lost answer, has left it meanwhile. */
  async findAgain(name: string): Promise<StoredStep | undefined> {
    return (await this.#ask()).find((step) => step.name === name)
  }

  /** Why this handler must not go on: a newer one has remembered something. */
  async findNewer(): Promise<ErrandError | undefined> {
    return this.#parts.run === 1 ? undefined : newest(await this.#read(), this.#parts.memoryVersion)
  }

  /** What is remembered, in its turn. */
  release<T>({ order }: StoredStep, read: () => Promise<T>): Promise<T> {
    return this.#releases.release(order ?? 0, read)
  }

  /** A new result comes after what was remembered before it. */
  async afterOthers<T>(value: T): Promise<T> {
    return this.#releases.isBusy ? this.#releases.release(Number.POSITIVE_INFINITY, () => value) : value
  }

  #read(): Promise<ReadonlyMap<string, StoredStep>> {
    return (this.#reading ??= this.#ask().then((steps) => {
      this.#count += steps.length
      return new Map(steps.map((step) => [step.name, step]))
    }))
  }

  async #ask(): Promise<readonly StoredStep[]> {
    const { log, clock, id, frame } = this.#parts
    const { steps } = await insist(
      () => log.memory(id),
      clock,
      () => frame.isClosed,
    )
    return steps
  }
}

/** @throws `E_STEP_NAME` if the name is that of something else. */
export function checkKind(stored: StoredStep, kind: StoredStep['kind']): void {
  if (stored.kind === kind) return
  // A short sleep is kept as a step without a result.
  if (kind === 'sleep' && stored.kind === 'step' && !stored.body) return
  throw new ErrandError(
    'E_STEP_NAME',
    `'${stored.name}' is remembered as a ${stored.kind}, and is a ${kind} now; give what is new another name`,
  )
}

function newest(steps: ReadonlyMap<string, StoredStep>, mine: number): ErrandError | undefined {
  for (const { name, memoryVersion } of steps.values()) {
    if (memoryVersion <= mine) continue
    return new ErrandError(
      'E_STEP_RESULT',
      `'${name}' was remembered by version ${memoryVersion} of the handler's memory, and the handler of this worker has version ${mine}: the job waits for a newer worker`,
    )
  }
  return undefined
}
