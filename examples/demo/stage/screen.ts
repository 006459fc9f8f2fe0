const esc = '\u001B['
const hideCursor = `${esc}?25l`
const showCursor = `${esc}?25h`
// A terminal that knows them shows a frame at once, without tearing; the others ignore them.
const beginFrame = `${esc}?2026h`
const endFrame = `${esc}?2026l`

/** A block of lines at the end of the terminal's text, drawn again in its place. */
export class Screen {
  #drawn = 0
  #closed = false
  readonly #out: NodeJS.WriteStream

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    out.write(hideCursor)
    process.once('exit', this.#restore)
  }

  draw(lines: readonly string[]): void {
    if (this.#closed) return
    const body = lines.map((line) => `${line}${esc}K\n`).join('')
    this.#out.write(`${beginFrame}${this.#home()}${body}${esc}J${endFrame}`)
    this.#drawn = lines.length
  }

  /** Leaves the last frame where it is. Later output comes below it. */
  close(): void {
    this.#restore()
    process.off('exit', this.#restore)
  }

  #home(): string {
    return this.#drawn === 0 ? '' : `${esc}${this.#drawn}F`
  }

  readonly #restore = (): void => {
    if (this.#closed) return
    this.#closed = true
    this.#out.write(showCursor)
  }
}
