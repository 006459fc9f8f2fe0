interface Line {
  readonly job: string
  readonly run: number
  readonly name: string
}

/** What handlers write down about their steps, each line at once and for good. */
export class StepNotes {
  readonly #now: () => number
  readonly acts: (Line & { readonly at: number })[] = []
  readonly seen: (Line & { readonly value: string })[] = []

  constructor(now: () => number) {
    this.#now = now
  }

  /** The function of a step has begun. */
  act(line: Line): void {
    this.acts.push({ ...line, at: this.#now() })
  }

  /** A step or a wait has given the handler this. */
  saw(line: Line & { readonly value: string }): void {
    this.seen.push(line)
  }
}
