export type Tone = 'red' | 'yellow' | 'green' | 'cyan' | 'magentaBright'

export interface Line {
  /** Milliseconds since the start of the show. */
  readonly at: number
  readonly text: string
  readonly tone: Tone | undefined
}

/** What happened, in the order in which this process heard of it. */
export class Story {
  readonly lines: Line[] = []
  readonly #clock: () => number
  readonly #heard: (line: Line) => void

  constructor(clock: () => number, heard: (line: Line) => void = () => {}) {
    this.#clock = clock
    this.#heard = heard
  }

  tell(text: string, tone?: Tone): void {
    const line = { at: this.#clock(), text, tone }
    this.lines.push(line)
    this.#heard(line)
  }
}
