/** The function of a step has begun. */
export interface ActedLine {
  readonly job: string
  readonly run: number
  readonly name: string
}

/** A step or a wait has given the handler this. */
export type SeenLine = ActedLine & { readonly value: string }

/** `at`: ms since the epoch. */
export type DatedAct = ActedLine & { readonly at: number }

/** What handlers write down about their steps, each line at once and for good. */
export class StepNotes {
  readonly #now: () => number
  readonly acts: DatedAct[] = []
  readonly seen: SeenLine[] = []

  constructor(now: () => number) {
    this.#now = now
  }

  act(line: ActedLine): void {
    this.acts.push({ ...line, at: this.#now() })
  }

  saw(line: SeenLine): void {
    this.seen.push(line)
  }
}
