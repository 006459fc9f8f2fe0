import { describeFailure, releaseReasons } from '@errand/core'
import type { AttemptInfo, Ended, Worker } from '@errand/core'
import type { Style } from '../../output/paint.ts'
import type { Terminal } from '../../output/terminal.ts'
import { harmless } from '../../output/text.ts'
import { clock, relative, spanText } from '../../output/times.ts'
import { readHealth, StatusLine } from './status-line.ts'

const marks: Readonly<Record<Ended['outcome'], readonly [mark: string, style: Style]>> = {
  succeeded: ['✓', 'good'],
  errored: ['↻', 'warn'],
  failed: ['✗', 'bad'],
  snoozed: ['z', 'faint'],
  suspended: ['…', 'faint'],
  released: ['<', 'faint'],
  cancelled: ['-', 'faint'],
  fenced: ['!', 'bad'],
}

/** Shows what a worker does: one line per run, and below them its health. Without a terminal, only its health. */
export class Progress {
  /** There is a terminal: log lines must go above the status line. */
  readonly shown: boolean
  readonly #terminal: Terminal
  readonly #began = Date.now()
  #worker: Worker | undefined
  #status: StatusLine | undefined
  #timer: NodeJS.Timeout | undefined
  #said: string | undefined
  #ended = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    this.shown = terminal.watched && terminal.width !== undefined
  }

  begin(worker: Worker): void {
    this.#worker = worker
    if (this.shown) {
      this.#status = new StatusLine(worker, this.#terminal.notePaint)
    } else if (!this.#terminal.json) {
      this.#say()
      this.#timer = setInterval(() => this.#say(), 5_000)
      this.#timer.unref()
    }
  }

  /** A line above the status line. */
  write(line: string): void {
    if (this.#status) this.#status.write(line)
    else this.#terminal.note(line)
  }

  ended(attempt: AttemptInfo & Ended): void {
    const paint = this.#terminal.notePaint
    const [mark, style] = marks[attempt.outcome]
    const time = paint('faint', clock(Date.now()))
    const rest = paint('faint', `${attempt.job.id}  ${spanText(attempt.durationMs)}`)
    this.write(`${time} ${paint(style, mark)} ${attempt.job.name}  ${rest}${harmless(whatNext(attempt))}`)
  }

  /** Prints the last line. Only the first call counts. */
  end(reason?: string): void {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#timer)
    this.#status?.end()
    if (this.#terminal.json) return
    const why = reason === undefined ? '' : `: ${reason}`
    const rest = this.#worker && ` · ${readHealth(this.#worker, Date.now() - this.#began).rest}`
    if (this.#worker || reason !== undefined) this.#terminal.note(`worker stopped${why}${rest ?? ''}`)
  }

  /** Without a terminal, one line each time that the worker starts or stops taking jobs. */
  #say(): void {
    if (!this.#worker) return
    const { state, rest } = readHealth(this.#worker, Date.now() - this.#began)
    if (state === this.#said) return
    this.#said = state
    this.#terminal.note(`worker ${this.#worker.id} ${state} · ${rest}`)
  }
}

function whatNext(attempt: Ended): string {
  switch (attempt.outcome) {
    case 'errored':
      return `  ${describeFailure(attempt.error)} · again ${relative(attempt.retryAt.getTime(), Date.now())}`
    case 'failed':
      return `  ${describeFailure(attempt.error)}`
    case 'snoozed':
      return `  again ${relative(attempt.until.getTime(), Date.now())}`
    case 'suspended':
      return `  waits for ${attempt.waits.join(', ')}`
    case 'fenced':
      return '  its claim was lost: this result does not count'
    case 'released':
      return attempt.why === undefined ? '' : `  ${releaseReasons[attempt.why]}`
    case 'succeeded':
    case 'cancelled':
      return ''
    default:
      return attempt satisfies never
  }
}
